"""Learning again: what is new since the last model, and parts that were called wrongly."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from inspection import policies
from inspection.errors import UserError
from inspection.models import (
    DEFECT_STATES,
    Dataset,
    DatasetImage,
    DatasetSnapshot,
    Disposition,
    Escape,
    Inspection,
    Purpose,
    ReviewState,
    SnapshotImage,
    TrainingRun,
    User,
    Verdict,
    Viewpoint,
)

from . import golden, training
from .access import require
from .audit import record
from .dataset_pictures import GOOD
from .locking import lock_row
from .products import good_dataset
from .visible import visible

Trigger = TrainingRun.Trigger
MOST_SELECTED = 2000


# --- what is new --------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """What the next run learns from, seen from the snapshot of the last model."""

    snapshot: DatasetSnapshot | None
    added: QuerySet[DatasetImage]
    left_out: QuerySet[DatasetImage]
    gone: QuerySet[SnapshotImage]
    usable: int

    @property
    def missing(self) -> int:
        """How many more good parts it takes before a run can be started."""
        return max(0, training.MIN_PICTURES - self.usable)


def changes(viewpoint: Viewpoint) -> Changes:
    """Good parts that are new, those that are left out since (or were taken out altogether),
    and how many the next run would have."""
    dataset = good_dataset(viewpoint)
    snapshot = last_snapshot(dataset)
    usable = dataset.items.filter(label="", excluded_at=None)
    known = SnapshotImage.objects.filter(snapshot=snapshot).exclude(
        decision=SnapshotImage.Decision.EXCLUDED
    )
    here = Exists(known.filter(image=OuterRef("image")))
    excluded = dataset.items.filter(label="", excluded_at__isnull=False)
    still = dataset.items.filter(image=OuterRef("image"), label="")
    return Changes(
        snapshot,
        added=usable.exclude(here).select_related("image", "origin"),
        left_out=excluded.filter(here).select_related("image"),
        gone=known.exclude(Exists(still)).select_related("image"),
        usable=usable.count(),
    )


def last_snapshot(dataset: Dataset) -> DatasetSnapshot | None:
    """What the newest model learned from."""
    done = dataset.snapshots.filter(training_run__model_version__isnull=False)
    return done.order_by("-number").first()


# --- from a selection ---------------------------------------------------------------------


@dataclass
class Proposed:
    """What became of a selection."""

    added: list[DatasetImage] = field(default_factory=list)
    already: int = 0
    viewpoints: list[Viewpoint] = field(default_factory=list)


def parts_named(user: User, keys: Iterable[UUID]) -> list[Inspection]:
    """The inspections that somebody chose. Raises UserError where they may not see one of them,
    or it is gone: then they chose from another list than the one that is there."""
    wanted = set(keys)
    rows = visible(user, Inspection).filter(pk__in=wanted)
    found = list(rows.select_related(None).only("pk"))  # the rest of two thousand is long
    if len(found) < len(wanted):
        raise UserError("no_such_part", "A chosen part is not there any more.", field="inspections")
    return found


def propose_good_parts(user: User | None, inspections: Iterable[Inspection]) -> Proposed:
    """“These are good parts: learn them.” Their pictures join the good parts of their viewpoint
    and say which inspection they come from; nothing is trained yet.

    Only false calls that an inspector rejected and parts that passed may be learned, and none
    of which anybody knows a defect. One part that may not be refuses all, so that nobody learns a
    defect by a slip of the mouse.
    """
    keys = [inspection.pk for inspection in inspections]
    if not keys:
        raise UserError("nothing_chosen", _("Choose the parts that are to be learned."))
    if len(keys) > MOST_SELECTED:
        raise UserError(
            "too_many",
            "Choose at most {most} parts at once; these are {n}.",
            most=MOST_SELECTED,
            n=len(keys),
        )
    found = list(
        Inspection.objects.filter(pk__in=keys)
        .select_related("viewpoint__product", "unit", "lot")
        .prefetch_related("pictures__image")
        .order_by("id")
    )
    by_viewpoint: dict[Viewpoint, list[Inspection]] = {}
    for inspection in found:
        by_viewpoint.setdefault(inspection.viewpoint, []).append(inspection)
    for viewpoint in by_viewpoint:
        require(user, policies.MANAGE, viewpoint.product)
        policies.check_in_use(viewpoint.product)
    proposed = Proposed(viewpoints=list(by_viewpoint))
    with transaction.atomic():
        for viewpoint, chosen in by_viewpoint.items():
            _learn(user, viewpoint, chosen, proposed)
    return proposed


def _learn(
    user: User | None, viewpoint: Viewpoint, chosen: Sequence[Inspection], proposed: Proposed
) -> None:
    dataset = good_dataset(viewpoint)
    lock_row(dataset)
    _check_good(chosen)
    _check_not_golden(viewpoint, chosen)
    names = []
    for inspection in chosen:
        for picture in inspection.pictures.all():
            item, new = DatasetImage.objects.get_or_create(
                dataset=dataset,
                image=picture.image,
                defaults={
                    "file_name": picture.file_name,
                    "lot_code": inspection.lot.code if inspection.lot else "",
                    "added_by": user,
                    "origin": inspection,
                },
            )
            if item.label:
                raise UserError(
                    "labelled",
                    "{name} is among the pictures as “{label}”. Correct that first.",
                    name=item.file_name,
                    label=item.label,
                )
            if new:
                proposed.added.append(item)
                names.append(item.file_name)
            else:
                proposed.already += 1
    if names:
        after = {"files": names, "inspections": [str(one.pk) for one in chosen]}
        record(user, "dataset.learned", dataset, product=viewpoint.product, after=after)


def may_be_learned() -> Q:
    """Parts that are good as far as anybody knows: false calls that an inspector rejected, and
    parts that passed without anybody being asked. Of none of them did anybody say otherwise,
    under whichever inspection; what was only judged again is as good as the first inspection of
    it, for nobody ever verifies a score for comparison."""
    own = Q(_is_good(), ~Q(purpose=Purpose.RESCORE))
    again = Q(_is_good("origin__"), purpose=Purpose.RESCORE)
    return (own | again) & ~_anybody_said(_has_defect() | _is_labelled())


def _is_good(of: str = "") -> Q:
    passed = Q(
        **{
            f"{of}verdict": Verdict.PASSED,
            f"{of}disposition": Disposition.AUTO,
            f"{of}review_state": ReviewState.NOT_VERIFIED,
        }
    )
    return Q(**{f"{of}review_state": ReviewState.REJECTED}) | passed


def _has_defect() -> Q:
    """Whoever looked found a defect, here or downstream."""
    looked = Q(review_state__in=DEFECT_STATES)
    escaped = Escape.objects.filter(unit=OuterRef("unit"), withdrawn_at=None)
    return looked | Q(Exists(escaped))


def _is_labelled() -> Q:
    """In a trial it was known beforehand: a kind of defect."""
    return ~Q(reference_label="") & ~Q(reference_label__iexact=GOOD)


def _anybody_said(so: Q) -> Q:
    """`so` of the inspection itself, or of any other that its viewpoint has of the same unit or of
    one of the same pictures: a re-score and a trial show what was verified elsewhere."""
    others = Inspection.objects.filter(so, viewpoint=OuterRef("viewpoint"))
    same_picture = others.filter(pictures__image__inspection_items__inspection=OuterRef("pk"))
    same_unit = others.filter(unit=OuterRef("unit"))
    return so | Q(Exists(same_picture)) | Q(Exists(same_unit))


def _check_good(chosen: Sequence[Inspection]) -> None:
    keys = [inspection.pk for inspection in chosen]
    rows = Inspection.objects.filter(pk__in=keys).select_related("unit")
    if bad := rows.filter(_anybody_said(_has_defect())).first():
        raise UserError(
            "confirmed_defect",
            "{part} has a confirmed defect, so nothing of this selection is learned. Take it "
            "out of the selection.",
            part=_name(bad),
        )
    if bad := rows.filter(_anybody_said(_is_labelled())).first():
        raise UserError(
            "labelled_defect",
            "{part} is known from a trial to be no good part, so nothing of this selection is "
            "learned. Take it out of the selection.",
            part=_name(bad),
        )
    good = rows.filter(may_be_learned())  # not excluded by it: what is not known is not good
    if unsure := rows.exclude(pk__in=good.values("pk")).first():
        raise UserError(
            "not_verified",
            "Nobody has said yet that {part} is good, so nothing of this selection is learned. "
            "Verify it first, or take it out of the selection.",
            part=_name(unsure),
        )


def _check_not_golden(viewpoint: Viewpoint, chosen: Sequence[Inspection]) -> None:
    dataset = golden.find(viewpoint)
    images = [picture.image_id for one in chosen for picture in one.pictures.all()]
    if dataset and (there := golden.items(dataset).filter(image__in=images).first()):
        raise UserError(
            "golden_part",
            "{name} is in the golden set: a model must not learn what it is held against. Take "
            "it out of the selection.",
            name=there.file_name,
        )


def _name(inspection: Inspection) -> str:
    picture = inspection.pictures.order_by("index").first()
    return str(inspection.unit or (picture.file_name if picture else inspection))


# --- starting -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """How to train, by default as the newest model was trained."""

    preset: str
    method: str
    budget_minutes: float


def usual_settings(viewpoint: Viewpoint) -> Settings:
    last = viewpoint.training_runs.filter(model_version__isnull=False).order_by("-number").first()
    if last is None:
        return Settings(TrainingRun.Preset.COMPACT, TrainingRun.Method.FUSED, 10)
    return Settings(last.preset, last.method, last.budget_minutes)


def retrain(
    user: User | None, viewpoint: Viewpoint, settings: Settings, *, vetting: str = "pause"
) -> TrainingRun:
    """A run on everything that is good now; what was taken over from inspections marks it as
    learned from a selection."""
    selected = changes(viewpoint).added.filter(origin__isnull=False).exists()
    return training.start_run(
        user,
        viewpoint,
        preset=settings.preset,
        method=settings.method,
        budget_minutes=settings.budget_minutes,
        vetting=vetting,
        trigger=Trigger.SELECTION if selected else Trigger.PERSON,
    )
