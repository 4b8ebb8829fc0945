"""Training of Shift-Net on masked normals."""

from __future__ import annotations

import torch
from torch import Tensor

from ml.data.dataset import PictureSet
from ml.device import autocast
from ml.features import FeatureExtractor
from ml.presets import Preset
from ml.rivals.adversarial import discriminator_loss, generator_loss
from ml.rivals.networks import frozen, signed
from ml.rivals.shift_net.loss import LossWeights, guidance_loss, restoration_loss
from ml.rivals.shift_net.model import ShiftNet, discriminator, load_model
from ml.rivals.trainer import AdversarialTrainer
from ml.unet import Encoder


class ShiftNetTrainer(AdversarialTrainer):
    """One step of discriminator, then generator.

    The method starts from random weights and is guided by its own encoder, so `encoder`,
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
        self.model = ShiftNet(preset)
        self.discriminator = discriminator(preset)
        self.optimise({"generator": self.model, "discriminator": self.discriminator})

    def train_step(self, step: int, steps: int | None) -> dict[str, float]:
        """Mask, restore, tell the restored from the real, and outwit that."""
        images, masks = self.begin(step)
        with frozen(self.model), torch.no_grad(), autocast(self.device):
            wanted = self.model.guidance(images)
        with autocast(self.device):
            shifted = self.model(images, masks)
        composite = signed(shifted.refined * masks + images * (1 - masks))
        judged = self._update_discriminator(signed(images), composite.detach(), step, steps)

        with frozen(self.discriminator), autocast(self.device):
            logits = self.discriminator(composite)
        adversarial = generator_loss(logits.float())
        restoration = restoration_loss(shifted.refined, images, masks)
        guidance = guidance_loss(shifted.decoded, wanted, shifted.hidden)
        loss = (
            restoration + self.weights.guidance * guidance + self.weights.adversarial * adversarial
        )
        self.optimised["generator"].update(loss, step, steps)
        return {
            "loss": float(loss.detach()),
            "guidance": float(guidance.detach()),
            "adversarial": float(adversarial.detach()),
            "discriminator": judged,
            "restoration_error": float(restoration.detach()) / 2,  # in 0..1, as for the others
        }

    def _update_discriminator(
        self, real: Tensor, fake: Tensor, step: int, steps: int | None
    ) -> float:
        with autocast(self.device):
            real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        loss = discriminator_loss(real_logits.float(), fake_logits.float())
        self.optimised["discriminator"].update(loss, step, steps)
        return float(loss.detach())

    def result(self) -> dict[str, Tensor]:
        """The averaged generator."""
        return dict(self.optimised["generator"].average)

    def averaged_model(self) -> ShiftNet:
        """A copy with the averaged weights, for samples and timing."""
        return load_model(self.preset, self.result(), self.device)
