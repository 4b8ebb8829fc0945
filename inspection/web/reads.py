"""Reads for pages: a fixed number of queries, however much there is."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    UUIDField,
    When,
)
from django.db.models.functions import Coalesce

from inspection.models import (
    ENDED,
    Batch,
    Dataset,
    DatasetImage,
    Inspection,
    ModelVersion,
    OperatingPoint,
    TrainingRun,
    Verdict,
    Viewpoint,
)
from inspection.querysets import VERDICTS

MOSAIC = 6
COUNTS: dict[str, Q] = {
    "total": Q(),
    "scored": ~Q(verdict=""),
    "passed": VERDICTS["pass"],
    "failed": VERDICTS["fail"],
    "review": VERDICTS["review"],
    "errors": Q(verdict=Verdict.ERROR),
}
NOTHING = dict.fromkeys(COUNTS, 0)


def _items_of(product: OuterRef) -> QuerySet[DatasetImage]:
    """Pictures of good parts, in no order: the first few by the index are good enough."""
    return DatasetImage.objects.filter(
        dataset__viewpoint__product=product,
        dataset__purpose=Dataset.Purpose.GOOD,
        label="",
        excluded_at=None,
    ).order_by()


def _count_of(rows: QuerySet[Any], group: str) -> Coalesce:
    counted = rows.order_by().values(group).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted), 0)


def product_cards(products: Any) -> list[Any]:
    """Each with `thumbs`, `pictures`, `run` (that has not ended), `active_model`, `last_batch`
    and `last_counts`."""
    here = OuterRef("pk")
    mosaic = {
        f"thumb_{i}": Subquery(
            _items_of(here).values("image_id")[i : i + 1], output_field=UUIDField()
        )
        for i in range(MOSAIC)
    }
    last_batch = Batch.objects.filter(viewpoint__product=here).order_by("-id").values("pk")[:1]
    active = ModelVersion.objects.filter(
        viewpoint__product=here, state=ModelVersion.State.ACTIVE
    ).order_by("viewpoint_id")
    going = TrainingRun.objects.filter(viewpoint__product=here).exclude(state__in=ENDED)
    cards = list(
        products.annotate(
            **mosaic,
            run_id=Subquery(going.order_by("-id").values("pk")[:1]),
            pictures=_count_of(_items_of(here), "dataset__viewpoint__product"),
            last_batch_id=Subquery(last_batch),
            active_id=Subquery(active.values("pk")[:1]),
        )
    )
    batches = Batch.objects.in_bulk([c.last_batch_id for c in cards if c.last_batch_id])
    models = ModelVersion.objects.in_bulk([c.active_id for c in cards if c.active_id])
    runs = TrainingRun.objects.in_bulk([c.run_id for c in cards if c.run_id])
    counts = batch_counts(batches)
    for card in cards:
        card.run = runs.get(card.run_id)
        card.thumbs = [t for i in range(MOSAIC) if (t := getattr(card, f"thumb_{i}"))]
        card.active_model = models.get(card.active_id)
        card.last_batch = batches.get(card.last_batch_id)
        card.last_counts = counts.get(card.last_batch_id)
    return cards


def batch_counts(batches: Iterable[UUID]) -> dict[UUID, dict[str, int]]:
    """Verdicts by batch, in one query. Batches without pictures count nothing."""
    ids = list(batches)
    found: Any = (
        Inspection.objects.filter(batch__in=ids)
        .order_by()
        .values("batch_id")
        .annotate(**{name: Count("pk", filter=which) for name, which in COUNTS.items()})
    )
    by_id = {row["batch_id"]: {name: row[name] for name in COUNTS} for row in found}
    return {key: by_id.get(key, dict(NOTHING)) for key in ids}


def with_counts(batches: Sequence[Batch]) -> Sequence[Batch]:
    counts = batch_counts([batch.pk for batch in batches])
    for batch in batches:
        batch.counts = counts[batch.pk]  # type: ignore[attr-defined]
    return batches


def dataset_counts(dataset: Dataset) -> dict[str, int]:
    """How many pictures are learned from, left out, and known to be defective."""
    return dataset.items.aggregate(
        usable=Count("pk", filter=Q(label="", excluded_at=None)),
        left_out=Count("pk", filter=Q(label="", excluded_at__isnull=False)),
        labelled=Count("pk", filter=~Q(label="")),
    )


def dataset_page(dataset: Dataset, after: str, size: int) -> tuple[list[DatasetImage], str]:
    """Newest first, keyset-paged: the next key, or an empty one at the end."""
    items = dataset.items.select_related("image").order_by("-id")
    if after:
        items = items.filter(id__lt=UUID(after))
    found = list(items[: size + 1])
    return found[:size], str(found[size - 1].pk) if len(found) > size else ""


def runs_of(viewpoint: Viewpoint, size: int = 5) -> list[TrainingRun]:
    runs = TrainingRun.objects.filter(viewpoint=viewpoint).select_related("model_version")
    return list(runs.order_by("-id")[:size])


def models_of(viewpoints: Any, size: int) -> list[ModelVersion]:
    """The active model versions, then the newest others, each with its operating point in
    force as `point`: many candidates must not push the one that judges off a short list."""
    active = Q(model_version__state=ModelVersion.State.ACTIVE)
    points = (
        OperatingPoint.objects.filter(in_force=True, model_version__viewpoint__in=viewpoints)
        .select_related(
            "model_version__viewpoint__product", "model_version__training_run__snapshot"
        )
        .order_by(Case(When(active, then=0), default=1), "-model_version_id")[:size]
    )
    found = []
    for point in points:
        version = point.model_version
        version.point = point  # type: ignore[attr-defined]
        found.append(version)
    return found


def judge_among(models: Sequence[ModelVersion]) -> ModelVersion | None:
    """Who judges a new batch: the active model, or in a trial the newest candidate."""
    states = (ModelVersion.State.ACTIVE, ModelVersion.State.CANDIDATE)
    return next((m for state in states for m in models if m.state == state), None)
