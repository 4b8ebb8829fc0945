"""Who may listen to what. A topic is `<run|batch|upload|report|inspection>:<id>` or `jobs`."""

from uuid import UUID

from django.db.models import Model, Q

from inspection import policies
from inspection.models import Batch, Inspection, Report, TrainingRun, Upload, User

JOBS = "jobs"
NOUNS: dict[str, tuple[type[Model], tuple[str, ...]]] = {
    "run": (TrainingRun, ("viewpoint__product",)),
    "batch": (Batch, ("viewpoint__product",)),
    "report": (Report, ("product",)),
    "inspection": (Inspection, ("viewpoint__product",)),
    "upload": (Upload, ("dataset__viewpoint__product", "batch__viewpoint__product")),
}
KINDS = {"training": "run", "batch": "batch", "upload": "upload"}  # as pushes on `jobs` say it


def may_listen(user: User, topic: str) -> bool:
    """Whether `user` may hear of `topic`. Asked at every subscription, never remembered."""
    fresh = User.objects.filter(pk=user.pk, is_active=True, must_change_password=False).first()
    if fresh is None:
        return False
    if topic == JOBS:
        return True
    noun, _, key = topic.partition(":")
    return may_see(fresh, noun, key)


def sees_everything(user: User) -> bool:
    return policies.role_for(user, None) is not None


def may_see_job(user: User, kind: str, key: str) -> bool:
    """`jobs` is one topic for all products, so each line of it is checked by itself."""
    return may_see(user, KINDS.get(kind, kind), key)


def may_see(user: User, noun: str, key: str) -> bool:
    if noun not in NOUNS or not _is_key(key):
        return False
    model, paths = NOUNS[noun]
    products = policies.visible_products(user)
    may = Q()
    for path in paths:
        may |= Q(**{f"{path}__in": products})
    return model._default_manager.filter(may, pk=key).exists()


def _is_key(key: str) -> bool:
    try:
        return str(UUID(key)) == key
    except ValueError:
        return False
