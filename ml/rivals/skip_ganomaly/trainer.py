"""Training of Skip-GANomaly on whole normal pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from ml.data.dataset import PictureSet
from ml.device import autocast
from ml.features import FeatureExtractor
from ml.presets import Preset
from ml.rivals.adversarial import discriminator_loss, generator_loss
from ml.rivals.networks import frozen, signed
from ml.rivals.skip_ganomaly.loss import LossWeights, contextual_loss, latent_loss
from ml.rivals.skip_ganomaly.model import SkipGanomaly, load_model
from ml.rivals.trainer import AdversarialTrainer
from ml.unet import Encoder


class SkipGanomalyTrainer(AdversarialTrainer):
    """One step of discriminator, then generator.

    The method starts from random weights and compares by its own discriminator, so `encoder`,
    `target` and `scoring` are not used.
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
        self.model = SkipGanomaly(preset)
        self.optimise(
            {"generator": self.model.generator, "discriminator": self.model.discriminator}
        )

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Reproduce the batch, tell the reproductions from the pictures, and outwit that."""
        images, _ = self.begin(step)
        original = signed(images)
        with autocast(self.device):
            restored = self.model.generator(original)
        judged = self._update_discriminator(original, restored.detach(), step, steps)

        discriminator = self.model.discriminator
        with frozen(discriminator), autocast(self.device):
            logits, found = discriminator(restored)
            with torch.no_grad():
                _, wanted = discriminator(original)
        adversarial = generator_loss(logits)
        contextual, latent = contextual_loss(original, restored), latent_loss(wanted, found)
        loss = (
            self.weights.adversarial * adversarial
            + self.weights.contextual * contextual
            + self.weights.latent * latent
        )
        self.optimised["generator"].update(loss, step, steps)
        return {
            "loss": float(loss.detach()),
            "adversarial": float(adversarial.detach()),
            "contextual": float(contextual.detach()),
            "latent": float(latent.detach()),
            "discriminator": judged,
            "restoration_error": float(contextual.detach()) / 2,  # in 0..1, as for the others
        }

    def _update_discriminator(
        self, real: Tensor, fake: Tensor, step: int, steps: int | None
    ) -> float:
        with autocast(self.device):
            real_logits, _ = self.model.discriminator(real)
            fake_logits, _ = self.model.discriminator(fake)
        loss = discriminator_loss(real_logits, fake_logits)
        self.optimised["discriminator"].update(loss, step, steps)
        return float(loss.detach())

    def result(self) -> dict[str, Tensor]:
        """Both averaged networks: the score needs the discriminator's features."""
        return {
            f"{name}.{key}": value
            for name, part in self.optimised.parts.items()
            for key, value in part.average.items()
        }

    def averaged_model(self) -> SkipGanomaly:
        """A copy with the averaged weights, for samples and timing."""
        return load_model(self.preset, self.result(), self.device)
