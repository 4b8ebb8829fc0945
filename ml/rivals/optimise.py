"""Several networks with an optimiser each, saved and restored as one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ml.optimise import Optimised

BETAS = (0.5, 0.999)


class OptimisedNetworks:
    """A generator and its discriminators by name, each with optimiser and moving average.

    Adam's momenta are those that all three rivals were published with, and no weight decays;
    schedule, clipping and averaging are those of every method.
    """

    def __init__(self, networks: Mapping[str, nn.Module], peak: float) -> None:
        self.parts = {
            name: Optimised(network, peak, weight_decay=0.0) for name, network in networks.items()
        }
        for part in self.parts.values():
            for group in part.optimizer.param_groups:
                group["betas"] = BETAS

    def __getitem__(self, name: str) -> Optimised:
        return self.parts[name]

    def parameters(self) -> dict[str, int]:
        """Number of trained parameters of each network."""
        return {name: sum(p.numel() for p in part.parameters) for name, part in self.parts.items()}

    @property
    def skipped(self) -> int:
        """Steps of any network whose gradient was not finite."""
        return sum(part.skipped for part in self.parts.values())

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        return {
            f"{name}.{key}": value
            for name, part in self.parts.items()
            for key, value in part.tensors().items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of `tensors`."""
        for name, part in self.parts.items():
            prefix = f"{name}."
            part.restore(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
