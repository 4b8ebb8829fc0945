from pathlib import Path

import factory
from factory.django import DjangoModelFactory

from inspection.models import Intake
from inspection.services import intake_looks

from .model_version import ModelVersionFactory
from .user import UserFactory


class IntakeFactory(DjangoModelFactory):
    """A watched folder of a product whose model judges; `location` must exist and be allowed."""

    class Meta:
        model = Intake

    name = factory.Sequence(lambda n: f"AOI {n}")
    viewpoint = factory.LazyFunction(lambda: ModelVersionFactory().viewpoint)
    pattern = "{lot}_{serial}_{position}.png"
    stable_seconds = 0  # two looks are enough
    created_by = factory.SubFactory(UserFactory, role="engineer")


def drop(folder: Path, name: str, content: bytes) -> Path:
    """A machine drops a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def look(intake: Intake, times: int = 2) -> Intake:
    """Look into the folder as a worker does, one look after the other."""
    for _ in range(times):
        intake_looks.look_into(intake.pk)
    intake.refresh_from_db()
    return intake


def outcomes(intake: Intake) -> dict[str, str]:
    """What became of each file, by its newest row."""
    return dict(intake.files.order_by("id").values_list("path", "outcome"))
