"""Pre-training stage: Barlow Twins on the training normals."""

from __future__ import annotations

import torch
from torch import Tensor

from ml import distributed
from ml.barlow_twins.loss import barlow_twins_loss
from ml.barlow_twins.model import BarlowTwins
from ml.data.dataset import PictureSet
from ml.data.transforms import two_views, view_transform
from ml.device import autocast
from ml.optimise import Optimised, epoch_rows, step_seed
from ml.presets import Preset
from ml.unet import Encoder


class PretrainTrainer:
    """One Barlow Twins step at a time."""

    name = "pretrain"

    def __init__(
        self, pictures: PictureSet, preset: Preset, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(step_seed(seed, self.name, -1))
        self.pictures, self.preset, self.seed, self.device = pictures, preset, seed, device
        self.pictures_per_step = min(preset.pretrain_batch, len(pictures))
        model = BarlowTwins(preset).to(device).to(memory_format=torch.channels_last)
        self.optimised = Optimised(distributed.synchronised(model, device), preset.learning_rate)
        self.transform = view_transform(preset.image_size)

    def views(self, step: int) -> Tensor:
        """The step's pictures of this process, distorted twice: (2 N, 3, S, S), first views first.

        Each picture's distortion has a seed of its own, so it does not depend on which process
        draws it.
        """
        count, batch = len(self.pictures), self.preset.pretrain_batch
        rows = distributed.share(epoch_rows(count, batch, self.seed, self.name, step)).tolist()
        pairs = []
        for row in rows:
            torch.manual_seed(step_seed(self.seed, f"{self.name}:{row}", step))
            pairs.append(two_views(self.pictures.pixels[row : row + 1], self.transform))
        first, second = (torch.cat(views) for views in zip(*pairs, strict=True))
        return torch.cat([first, second])

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Draw the step's batch, distort it twice, compare the embeddings."""
        views = self.views(step).to(self.device, memory_format=torch.channels_last)
        self.optimised.model.train()
        with autocast(self.device):
            embeddings = self.optimised.model(views)
        loss = barlow_twins_loss(*embeddings.float().chunk(2))
        self.optimised.update(loss, step, steps)
        return {"loss": float(loss.detach())}

    def result(self) -> dict[str, Tensor]:
        """The averaged encoder: what the rough network starts from."""
        prefix = "encoder."
        return {
            k.removeprefix(prefix): v
            for k, v in self.optimised.average.items()
            if k.startswith(prefix)
        }


def load_encoder(preset: Preset, tensors: dict[str, Tensor], device: torch.device) -> Encoder:
    """The pre-trained encoder from `PretrainTrainer.result`."""
    encoder = Encoder(preset.levels, preset.width, preset.max_width, preset.image_size)
    encoder.load_state_dict(tensors)
    return encoder.to(device).to(memory_format=torch.channels_last)
