"""Training of CSA on masked normals."""

from __future__ import annotations

import torch
from torch import Tensor

from ml.data.dataset import PictureSet
from ml.device import autocast
from ml.features import FeatureExtractor
from ml.inpainting.loss import TargetProjection, consistency_loss, masked_mean
from ml.inpainting.model import Restoration
from ml.presets import Preset
from ml.rivals.adversarial import relativistic_loss
from ml.rivals.csa.loss import LossWeights, signed_reconstruction_loss
from ml.rivals.csa.model import (
    CsaModel,
    feature_discriminator,
    load_model,
    picture_discriminator,
)
from ml.rivals.networks import frozen, signed
from ml.rivals.trainer import AdversarialTrainer
from ml.unet import Encoder

NETWORKS = ("picture", "feature")


class CsaTrainer(AdversarialTrainer):
    """One step of both discriminators, then of both inpainting networks.

    The method starts from random weights and knows nothing of the scoring features, so
    `encoder` and `scoring` are not used; `target` is F_v of the consistency loss and of the
    feature discriminator.
    """

    def __init__(
        self,
        pictures: PictureSet,
        preset: Preset,
        seed: int,
        device: torch.device,
        encoder: Encoder | None,
        target: FeatureExtractor,
        scoring: FeatureExtractor,
        shift: int = 0,
    ) -> None:
        super().__init__(pictures, preset, seed, device, shift)
        self.weights = LossWeights()
        self.target = target.to(device)
        self.model = CsaModel(preset)
        channels = self.model.attention_channels
        self.discriminators = {
            "picture": picture_discriminator(preset),
            "feature": feature_discriminator(preset, channels),
        }
        self.projection = self._projection(channels)
        self.side = preset.image_size // preset.attention_stride
        self.optimise({"generator": self.model, **self.discriminators})

    @torch.no_grad()
    def _projection(self, channels: int) -> TargetProjection:
        sample = self.target(self.pictures.floats(slice(0, 32)).to(self.device))
        features = sample[self.target.final]
        projection = TargetProjection(features.shape[1], channels, self.seed).to(self.device)
        projection.fit(features)
        return projection

    def _features(self, images: Tensor) -> Tensor:
        """F_v of (B, 3, S, S) in 0..1 at unit energy, (B, C, h, w) at the CSA layer."""
        with autocast(self.device):
            features = self.target(images)[self.target.final]
        return self.projection(features, self.side)

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Mask, restore, tell the restored from the real twice, and outwit that."""
        images, masks = self.begin(step)
        with autocast(self.device):
            restoration = self.model(images, masks)
        composite = restoration.refined * masks + images * (1 - masks)
        with torch.no_grad():
            wanted = self._features(images)
        real = {"picture": signed(images), "feature": wanted}
        fake = {"picture": signed(composite), "feature": self._features(composite)}
        judged = {n: self._update_discriminator(n, real[n], fake[n], step, steps) for n in NETWORKS}

        adversarial = torch.stack([self._adversarial(n, real[n], fake[n]) for n in NETWORKS]).sum()
        reconstruction = signed_reconstruction_loss(restoration, images, masks)
        consistency = self._consistency(restoration, wanted, masks)
        loss = (
            reconstruction
            + self.weights.consistency * consistency
            + self.weights.adversarial * adversarial
        )
        self.optimised["generator"].update(loss, step, steps)
        refined = masked_mean((restoration.refined.detach() - images).abs(), masks)
        return {
            "loss": float(loss.detach()),
            "reconstruction": float(reconstruction.detach()),
            "consistency": float(consistency.detach()),
            "adversarial": float(adversarial.detach()),
            "discriminator": judged["picture"],
            "feature_discriminator": judged["feature"],
            "restoration_error": float(refined),
        }

    def _update_discriminator(
        self, name: str, real: Tensor, fake: Tensor, step: int, steps: int | None
    ) -> float:
        network = self.discriminators[name]
        with autocast(self.device):
            real_logits, fake_logits = network(real), network(fake.detach())
        loss = relativistic_loss(real_logits.float(), fake_logits.float())
        self.optimised[name].update(loss, step, steps)
        return float(loss.detach())

    def _adversarial(self, name: str, real: Tensor, fake: Tensor) -> Tensor:
        network = self.discriminators[name]
        with frozen(network), autocast(self.device):
            real_logits, fake_logits = network(real), network(fake)
        return relativistic_loss(fake_logits.float(), real_logits.float())

    @staticmethod
    def _consistency(restoration: Restoration, wanted: Tensor, masks: Tensor) -> Tensor:
        encoded, decoded = restoration.attention_encoder, restoration.attention_decoder
        return consistency_loss(encoded.float(), decoded.float(), wanted, masks)

    def result(self) -> dict[str, Tensor]:
        """The averaged inpainting networks."""
        return dict(self.optimised["generator"].average)

    def averaged_model(self) -> CsaModel:
        """A copy with the averaged weights, for samples and timing."""
        return load_model(self.preset, self.result(), self.device)
