"""What the rivals' trainers share: seeds, batches, several networks trained in turn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ml import distributed
from ml.data.dataset import PictureSet
from ml.data.transforms import light_augment
from ml.masks import training_masks
from ml.optimise import epoch_rows, step_seed
from ml.presets import Preset
from ml.rivals.optimise import OptimisedNetworks


class AdversarialTrainer:
    """A restoring network and its discriminators, one step at a time.

    A subclass builds its networks after this constructor, which seeds their first weights, and
    hands them to `optimise`.
    """

    name = "inpaint"
    optimised: OptimisedNetworks

    def __init__(
        self, pictures: PictureSet, preset: Preset, seed: int, device: torch.device, shift: int
    ) -> None:
        torch.manual_seed(step_seed(seed, self.name, -1))
        self.pictures, self.preset, self.seed, self.device = pictures, preset, seed, device
        self.pictures_per_step = min(preset.inpaint_batch, len(pictures))
        self.shift = shift  # pixels of random translation, for parts that lie anywhere

    def optimise(self, networks: Mapping[str, nn.Module]) -> None:
        """Bring the networks to the device and give each its optimiser."""
        for network in networks.values():
            network.to(self.device).to(memory_format=torch.channels_last)
            distributed.synchronised(network, self.device)  # changes what lies inside it
        self.optimised = OptimisedNetworks(networks, self.preset.learning_rate)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The step's pictures (B, 3, S, S) in 0..1 and masks (B, 1, S, S), 1 where hidden; of
        several processes each gets its share."""
        generator = torch.Generator().manual_seed(step_seed(self.seed, self.name, step))
        rows = epoch_rows(len(self.pictures), self.preset.inpaint_batch, self.seed, self.name, step)
        images = light_augment(
            self.pictures.floats(rows), generator, self.shift, self.pictures.symmetries
        )
        masks = training_masks(
            len(rows), self.preset.image_size, self.preset.cells, self.preset.subsets, generator
        )
        return (
            distributed.share(images).to(self.device, memory_format=torch.channels_last),
            distributed.share(masks).to(self.device),
        )

    def begin(self, step: int) -> tuple[Tensor, Tensor]:
        """Seed the step, set all networks to training, and draw its batch."""
        torch.manual_seed(step_seed(self.seed, self.name, step))
        for part in self.optimised.parts.values():
            part.model.train()
        return self.batch(step)
