"""The same said of many parts at once, from the page Defects or by a program."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from inspection import policies
from inspection.errors import UserError
from inspection.models import Inspection, ReasonCode, Review, User

from .access import require
from .reviews import record_review
from .visible import visible

MOST_AT_ONCE = 200


@dataclass(frozen=True)
class Said:
    """What was written, and what was refused with why."""

    written: list[Review] = field(default_factory=list)
    refused: list[tuple[Inspection, UserError]] = field(default_factory=list)


def parts_to_judge(user: User, keys: Iterable[UUID]) -> list[Inspection]:
    """The parts of these keys, in their order, where `user` may judge all of them. Raises
    UserError where one is not there or may not be seen, NotAllowed where the role is lacking."""
    wanted = list(dict.fromkeys(keys))
    found = visible(user, Inspection).in_bulk(wanted)
    if len(found) < len(wanted):
        raise UserError("no_such_part", "A chosen part is not there any more.", field="inspections")
    for product in {one.viewpoint.product for one in found.values()}:
        require(user, policies.REVIEW, product)
    return [found[key] for key in wanted]


def record_reviews(
    user: User,
    inspections: Iterable[Inspection],
    *,
    state: str,
    reason_of: Callable[[Inspection], ReasonCode | None],
    comment: str = "",
) -> Said:
    """Each part is written or refused on its own, by the rules of `record_review`: one that
    somebody judged meanwhile keeps no other from being written."""
    said = Said()
    for one in inspections:
        try:
            review = record_review(
                user, one, state=state, reason_code=reason_of(one), comment=comment
            )
            said.written.append(review)
        except UserError as error:
            said.refused.append((one, error))
    return said
