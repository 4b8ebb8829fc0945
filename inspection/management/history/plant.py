"""The plant whose history is made: products with their models, stations, reasons, people."""

import io
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import Max
from PIL import Image as Pillow
from PIL import ImageDraw

from inspection.models import (
    Batch,
    DatasetImage,
    DatasetSnapshot,
    Image,
    JobState,
    ModelVersion,
    OperatingPoint,
    Product,
    ReasonCode,
    Station,
    TrainingRun,
    User,
    Viewpoint,
)
from inspection.services import images, products

FAIL, REVIEW = 0.62, 0.55  # thresholds, score units
PARTS = (  # part number, name, opportunities per unit, share of defects
    ("PSU-2401", "Power supply 240 W", 180, 0.012),
    ("RLY-1108", "Relay board", 64, 0.008),
    ("SEN-0420", "Sensor module", 38, 0.005),
    ("CTL-7715", "Motor controller", 320, 0.018),
    ("LED-0093", "LED driver", 45, 0.006),
    ("GTW-5002", "Field bus gateway", 410, 0.015),
)
STATIONS = (
    ("HIST-AOI-1", "AOI after reflow", "SMT 1"),
    ("HIST-AOI-2", "AOI after reflow", "SMT 2"),
    ("HIST-AOI-3", "AOI after wave", "THT 1"),
)
REASONS = (
    ("BRIDGE", "Solder bridge", 0.3),
    ("MISSING", "Part missing", 0.22),
    ("SHIFT", "Part shifted", 0.18),
    ("TOMB", "Tombstone", 0.12),
    ("COLD", "Cold joint", 0.1),
    ("SCRATCH", "Scratch", 0.08),
)
PEOPLE = ("inspector.a", "inspector.b", "inspector.c", "inspector.d")


@dataclass
class Line:
    """One product as the history sees it."""

    product: Product
    viewpoint: Viewpoint
    models: list[tuple[datetime, ModelVersion, OperatingPoint]]
    reasons: list[ReasonCode]
    pictures: list[Image]
    layers: dict[str, str]
    defect_share: float
    spots: list[int] = field(default_factory=list)  # cells where defects gather
    false_spots: list[int] = field(default_factory=list)
    next_batch: int = 1

    def judged_by(self, when: datetime) -> tuple[ModelVersion, OperatingPoint]:
        """The model that was active then."""
        _, version, point = [one for one in self.models if one[0] <= when][-1]
        return version, point


@dataclass
class Plant:
    lines: list[Line]
    stations: list[Station]
    people: list[User]


def build(begin: datetime, how_many: int) -> Plant:
    """Everything that the parts need, made by the same services where there are some."""
    stations = [
        Station.objects.get_or_create(code=code, defaults={"name": name, "line": line})[0]
        for code, name, line in STATIONS
    ]
    people = [User.objects.get_or_create(username=name)[0] for name in PEOPLE]
    lines = [_line(number, begin) for number in range(how_many)]
    return Plant(lines, stations, people)


def _line(number: int, begin: datetime) -> Line:
    code, name, opportunities, share = PARTS[number % len(PARTS)]
    suffix = f"-{number // len(PARTS) + 1}" if number >= len(PARTS) else ""
    product = products.create_product(
        None, code=code + suffix, name=name, opportunities_per_unit=opportunities
    )
    product.audit_rate, product.created_at = 0.02, begin
    product.save(update_fields=["audit_rate", "created_at"])
    viewpoint = product.viewpoints.get()
    chance = np.random.default_rng(zlib.crc32(code.encode()))
    boards = [_board(number, shade) for shade in range(6)]
    kept = [images.store_image(None, f"{code}-{n}.png", _png(b))[0] for n, b in enumerate(boards)]
    dataset = products.good_dataset(viewpoint)
    DatasetImage.objects.bulk_create(
        DatasetImage(dataset=dataset, image=image, file_name=image.original_name) for image in kept
    )
    return Line(
        product=product,
        viewpoint=viewpoint,
        models=[_model(viewpoint, begin, months) for months in (0, 5, 9)],
        reasons=[
            ReasonCode.objects.create(product=product, code=code, text=text)
            for code, text, _ in REASONS
        ],
        pictures=kept,
        layers=_layers(code, boards[0]),
        defect_share=share,
        spots=[int(cell) for cell in chance.integers(0, 64, 3)],
        false_spots=[int(cell) for cell in chance.integers(0, 64, 2)],
        next_batch=1 + (Batch.objects.aggregate(n=Max("number"))["n"] or 0),
    )


def _model(
    viewpoint: Viewpoint, begin: datetime, months: int
) -> tuple[datetime, ModelVersion, OperatingPoint]:
    """Active from that month on; the newest still is."""
    since = begin + timedelta(days=30.4 * months)
    dataset = products.good_dataset(viewpoint)
    number = 1 + viewpoint.training_runs.count()
    snapshot = DatasetSnapshot.objects.create(dataset=dataset, number=number, frozen_at=since)
    run = TrainingRun.objects.create(
        viewpoint=viewpoint,
        number=number,
        snapshot=snapshot,
        preset="compact",
        budget_minutes=60,
        state=JobState.DONE,
        started_at=since,
        finished_at=since,
        created_at=since,
    )
    viewpoint.model_versions.update(state=ModelVersion.State.RETIRED)
    chance = np.random.default_rng(number)
    scores = sorted(float(score) for score in chance.normal(0.3, 0.07, 400))
    version = ModelVersion.objects.create(
        viewpoint=viewpoint,
        number=number,
        training_run=run,
        state=ModelVersion.State.ACTIVE,
        method="fused",
        folder=str(run.pk),
        manifest={"calibration": {"n": len(scores), "scores": scores}},
        manifest_sha256="0" * 64,
        scoring_backbone="resnet18",
        backbone_is_stand_in=False,
        scale_low=0.0,
        scale_high=1.0,
        promoted_at=since,
        created_at=since,
    )
    point = OperatingPoint.objects.create(
        model_version=version,
        number=1,
        alpha_fail=0.003,
        alpha_review=0.01,
        threshold_fail=FAIL,
        threshold_review=REVIEW,
        reason="made history",
    )
    return since, version, point


# --- pictures ----------------------------------------------------------------------------


def _board(number: int, shade: int) -> Pillow.Image:
    """A drawn board of its own for each product, a little lighter or darker."""
    chance = np.random.default_rng(number)
    base = ((24, 88, 56), (20, 62, 96), (32, 96, 40), (84, 36, 40), (28, 80, 84), (52, 52, 92))
    ground = tuple(min(255, channel + 4 * shade) for channel in base[number % len(base)])
    picture = Pillow.new("RGB", (640, 480), ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(26):
        x, y = (int(v) for v in chance.integers(10, (560, 420)))
        w, h = (int(v) for v in chance.integers(14, (110, 70)))
        draw.rectangle((x - 6, y + 4, x + w + 6, y + h - 4), fill=(176, 178, 170))
        draw.rectangle((x, y, x + w, y + h), fill=(34, 35, 38), outline=(70, 72, 76))
    for x in range(20, 640, 60):
        draw.ellipse((x, 452, x + 18, 470), fill=(196, 160, 84), outline=(120, 96, 48))
    return picture


def _png(picture: Pillow.Image) -> io.BytesIO:
    target = io.BytesIO()
    picture.save(target, "PNG")
    target.seek(0)
    return target


def _layers(code: str, board: Pillow.Image) -> dict[str, str]:
    """The pictures that all results of a product share: view, restored, heatmap."""
    heat = Pillow.new("RGBA", board.size, (0, 0, 4, 0))
    spot = ImageDraw.Draw(heat)
    spot.ellipse((260, 180, 340, 260), fill=(249, 142, 8, 200))
    made = {}
    for name, kind, picture in (
        ("view", "webp", board),
        ("restored", "webp", board),
        ("heatmap", "png", heat),
    ):
        target = io.BytesIO()
        picture.save(target, kind.upper())
        path = f"results/history/{code}/{name}.{kind}"
        made[f"{name}_key"] = str(default_storage.save(path, ContentFile(target.getvalue())))
    return made
