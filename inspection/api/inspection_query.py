"""What the list of inspections may be asked by."""

from rest_framework import serializers

from inspection.models import Disposition, Purpose, ReviewState, Verdict
from inspection.querysets import REVIEWS, VERDICTS_AND_CALLS
from inspection.services.inspection_search import ANY
from inspection.services.verdicts import CELLS

from .fields import Moment, Number, Strict, Whole


class InspectionQuery(Strict):
    """What the page Defects is filtered by, with the same meaning, and what an MES asks besides."""

    product = serializers.CharField(
        required=False, max_length=60, help_text="part number, or the product's id"
    )
    viewpoint = serializers.CharField(
        required=False, max_length=60, help_text="its id, or its code in the product or in any"
    )
    line = serializers.CharField(required=False, max_length=80, help_text="exact")
    station = serializers.CharField(
        required=False, max_length=80, help_text="its code or id; none: from no station"
    )
    lot = serializers.CharField(required=False, max_length=80)
    work_order = serializers.CharField(required=False, max_length=80)
    serial_number = serializers.CharField(required=False, max_length=120, help_text="exact")
    serial = serializers.CharField(
        required=False, max_length=120, help_text="how the serial number begins, of any purpose"
    )
    panel_id = serializers.CharField(required=False, max_length=120, help_text="exact")
    position = Whole(required=False, max_value=1_000_000, help_text="on the panel")
    model = serializers.UUIDField(required=False, help_text="which model version judged")
    purpose = serializers.ChoiceField(
        [*Purpose.values, ANY],
        required=False,
        help_text="left out: production only where `updated_since`, `serial_number` or `panel_id` "
        "is asked, else any. Trials, golden sets and re-scores say nothing of a part on its way",
    )
    result = serializers.ChoiceField(Verdict.values, required=False)
    verdict = serializers.ChoiceField(
        list(VERDICTS_AND_CALLS),
        required=False,
        help_text="as the pages say it: review is a band of its own; called: failed or in doubt; "
        "not_failed: passed or in doubt; audit: passed and drawn for an audit",
    )
    disposition = serializers.ChoiceField(Disposition.values, required=False)
    verification = serializers.ChoiceField(
        [*ReviewState.values, *REVIEWS],
        required=False,
        help_text="waiting: for a person; queue: at the verification station, audits too; defect: "
        "somebody found one, whatever became of the part; good: a false call, an accepted defect, "
        "or a pass that nobody doubts",
    )
    reason = serializers.CharField(
        required=False,
        max_length=60,
        help_text="of the review that holds: its code or id; none: without one",
    )
    score_min = Number(required=False, help_text="score units, included")
    score_max = Number(required=False, help_text="score units, included")
    cell = Whole(
        required=False,
        max_value=CELLS * CELLS - 1,
        help_text="place of the strongest region on an 8 × 8 grid, row by row from 0",
    )
    decision_of_record = serializers.BooleanField(required=False, allow_null=True, default=None)
    since = Moment(required=False, help_text="verdicts from then on")
    until = Moment(required=False, help_text="verdicts before then")
    updated_since = Moment(
        required=False,
        help_text="everything that got a verdict or review since then, oldest change first: for "
        "receivers that lost something. Ask again from a minute before the newest `updated_at` "
        "that you saw; production only, unless `purpose` says another",
    )
