"""Which rows a person may see: the pages and the API ask the same questions."""

from typing import TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from inspection.models import (
    Batch,
    Dataset,
    DatasetImage,
    DatasetSnapshot,
    DriftAlert,
    Escape,
    GateCheck,
    Inspection,
    Intake,
    Lot,
    Membership,
    ModelVersion,
    OperatingPoint,
    Product,
    ReasonCode,
    Report,
    ReportSchedule,
    RetrainingPlan,
    Review,
    TrainingRun,
    Upload,
    User,
    Viewpoint,
)

M = TypeVar("M", bound=Model)

# What is shown of each noun besides its product, so that it comes in the same query.
ALSO: dict[type[Model], tuple[str, ...]] = {
    TrainingRun: ("snapshot", "started_by"),
    ModelVersion: ("training_run__snapshot", "training_run__started_by", "promoted_by"),
    Batch: ("model_version", "operating_point", "lot"),
    Inspection: (
        "model_version__training_run__snapshot",
        "operating_point",
        "batch",
        "unit",
        "lot",
        "station",
        "review_reason",
        "reviewed_by",
    ),
    Intake: ("station", "created_by"),
    Report: ("lot", "requested_by"),
    ReportSchedule: ("created_by",),
    Escape: ("unit__product", "reason_code", "reported_by", "withdrawn_by"),
    DatasetImage: ("image",),
    DriftAlert: ("station", "model_version"),
    GateCheck: ("baseline", "requested_by"),
    RetrainingPlan: ("last_run", "changed_by"),
    Review: ("author", "reason_code", "inspection__review_reason", "inspection__reviewed_by"),
}

# Where the product is, seen from each noun that has an address of its own.
PATHS: dict[type[Model], tuple[str, ...]] = {
    Viewpoint: ("product",),
    Dataset: ("viewpoint__product",),
    TrainingRun: ("viewpoint__product",),
    ModelVersion: ("viewpoint__product",),
    Batch: ("viewpoint__product",),
    Inspection: ("viewpoint__product",),
    Intake: ("viewpoint__product",),
    Report: ("product",),
    ReportSchedule: ("product",),
    Upload: ("dataset__viewpoint__product", "batch__viewpoint__product"),
    Review: ("inspection__viewpoint__product",),
    ReasonCode: ("product",),
    Escape: ("unit__product",),
    OperatingPoint: ("model_version__viewpoint__product",),
    DatasetImage: ("dataset__viewpoint__product",),
    DatasetSnapshot: ("dataset__viewpoint__product",),
    DriftAlert: ("viewpoint__product",),
    GateCheck: ("candidate__viewpoint__product",),
    Lot: ("product",),
    RetrainingPlan: ("viewpoint__product",),
}


def may_see(user: User, product: str = "") -> Q:
    """`policies.visible_products` as a condition on rows whose product is at `product` (or on
    products themselves), inside the query that asks for the rows."""
    if user.is_superuser:
        return Q(**{f"{product}__isnull" if product else "pk__isnull": False})
    mine = Membership.objects.filter(user=user, user__is_active=True)
    return Q(Exists(mine.filter(Q(product=None) | Q(product=OuterRef(product or "pk")))))


def visible(user: User, model: type[M]) -> QuerySet[M]:
    """The rows of `model` whose product `user` may see."""
    seen = may_see(user) if model is Product else Q()
    paths = PATHS.get(model, ())
    for path in paths:
        seen |= may_see(user, path)
    found = model._default_manager.filter(seen)
    return found.select_related(*paths, *ALSO.get(model, ())) if paths else found
