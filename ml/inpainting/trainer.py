"""Inpainting stage: rough and refinement network learn to restore masked normals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ml import distributed
from ml.data.dataset import PictureSet
from ml.data.transforms import light_augment
from ml.device import autocast, compile_parts, compiling_pays
from ml.features import FeatureExtractor
from ml.inpainting.loss import (
    TargetProjection,
    consistency_loss,
    feature_loss,
    masked_mean,
    reconstruction_loss,
)
from ml.inpainting.model import InpaintingModel
from ml.masks import training_masks
from ml.optimise import Optimised, epoch_rows, step_seed
from ml.presets import Preset
from ml.unet import Encoder


@dataclass(frozen=True)
class LossWeights:
    """L = L_r + consistency · L_c + feature · L_f (see docs/method.md)."""

    consistency: float = 0.01
    feature: float = 1.0


class InpaintTrainer:
    """One inpainting step at a time."""

    name = "inpaint"

    def __init__(
        self,
        pictures: PictureSet,
        preset: Preset,
        seed: int,
        device: torch.device,
        encoder: Encoder | None,
        target: FeatureExtractor,
        scoring: FeatureExtractor,
        weights: LossWeights | None = None,
        shift: int = 0,
    ) -> None:
        torch.manual_seed(step_seed(seed, self.name, -1))
        self.pictures, self.preset, self.seed, self.device = pictures, preset, seed, device
        self.pictures_per_step = min(preset.inpaint_batch, len(pictures))
        self.weights = weights or LossWeights()
        self.shift = shift  # pixels of random translation, for parts that lie anywhere
        self.target, self.scoring = target.to(device), scoring.to(device)
        model = InpaintingModel(preset)
        if encoder is not None:
            model.rough.encoder.load_state_dict(encoder.state_dict())
        model.rough.prior.copy_(mean_picture(pictures))
        model = model.to(device).to(memory_format=torch.channels_last)
        self.model = distributed.synchronised(model, device)
        self.projection = self._projection()
        self.optimised = Optimised(self.model, preset.learning_rate)

    @torch.no_grad()
    def _projection(self) -> TargetProjection:
        sample = self.target(self.pictures.floats(slice(0, 32)).to(self.device))
        features = sample[self.target.final]
        channels = self.model.attention_channels
        projection = TargetProjection(features.shape[1], channels, self.seed).to(self.device)
        projection.fit(features)
        return projection

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The step's pictures (B, 3, S, S) and masks (B, 1, S, S), this process's share."""
        generator = torch.Generator().manual_seed(step_seed(self.seed, self.name, step))
        size = self.preset.image_size
        rows = epoch_rows(len(self.pictures), self.preset.inpaint_batch, self.seed, self.name, step)
        images = light_augment(
            self.pictures.floats(rows), generator, self.shift, self.pictures.symmetries
        )
        masks = training_masks(len(rows), size, self.preset.cells, self.preset.subsets, generator)
        return (
            distributed.share(images).to(self.device, memory_format=torch.channels_last),
            distributed.share(masks).to(self.device),
        )

    def compile(self, backend: str = "inductor") -> str | None:
        """Compile the convolutions where it pays; a line for the log where that fails.

        The attention stays as it is: its loop over positions is a kernel of its own.
        """
        if not compiling_pays(self.device) and backend == "inductor":
            return None
        refinement = self.model.refinement
        parts = [self.model.rough, refinement.decoder, *refinement.encoder.stages]
        return compile_parts(parts, self._try_out, backend)

    def _try_out(self) -> None:
        """One forward and backward pass that leaves nothing behind."""
        kept = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        images, masks = self.batch(0)
        self.model.train()
        try:
            with autocast(self.device):
                restoration = self.model(images, masks)
            (restoration.rough.mean() + restoration.refined.mean()).backward()
        finally:
            self.model.zero_grad(set_to_none=True)
            for name, buffer in self.model.named_buffers():
                buffer.copy_(kept[name])

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Mask, restore, compare with the original in pixels and in features."""
        torch.manual_seed(step_seed(self.seed, self.name, step))
        images, masks = self.batch(step)
        self.model.train()
        with autocast(self.device):
            restoration = self.model(images, masks)
            composite = restoration.refined * masks + images * (1 - masks)
            features = self.scoring(composite)
            with torch.no_grad():
                originals = self.scoring(images)
                wanted = self._wanted(images, originals)
        reconstruction = reconstruction_loss(restoration, images, masks)
        encoded, decoded = restoration.attention_encoder, restoration.attention_decoder
        consistency = consistency_loss(
            encoded.float(), decoded.float(), self.projection(wanted, encoded.shape[-1]), masks
        )
        feature = feature_loss(features, originals)
        loss = (
            reconstruction + self.weights.consistency * consistency + self.weights.feature * feature
        )
        self.optimised.update(loss, step, steps)
        refined = masked_mean((restoration.refined.detach() - images).abs(), masks)
        return {
            "loss": float(loss.detach()),
            "reconstruction": float(reconstruction.detach()),
            "consistency": float(consistency.detach()),
            "feature": float(feature.detach()),
            "restoration_error": float(refined),
        }

    def _wanted(self, images: Tensor, originals: list[Tensor]) -> Tensor:
        """F_v(I_gt), out of the pass that was made already where one network is both."""
        seen = originals if self.target is self.scoring else self.target(images)
        return seen[self.target.final]

    def result(self) -> dict[str, Tensor]:
        """The averaged model."""
        return dict(self.optimised.average)

    def averaged_model(self) -> InpaintingModel:
        """A copy with the averaged weights, for samples and timing."""
        return load_model(self.preset, self.optimised.average, self.device)


def mean_picture(pictures: PictureSet) -> Tensor:
    """Mean of the pictures (3, S, S) in 0..1."""
    total = torch.zeros(pictures.pixels.shape[1:], dtype=torch.float64)
    for part in torch.split(pictures.pixels, 256):
        total += part.double().sum(0)
    return (total / len(pictures) / 255).float()


def load_model(preset: Preset, tensors: dict[str, Tensor], device: torch.device) -> InpaintingModel:
    """The model in evaluation mode from `InpaintTrainer.result`."""
    with torch.device("meta"):  # no weights drawn only to be replaced
        model = InpaintingModel(preset)
    model.load_state_dict({k: v.detach().clone() for k, v in tensors.items()}, assign=True)
    return model.to(device).to(memory_format=torch.channels_last).eval()
