"""Attribute agreement of the model and the inspectors, as the page Agreement shows it."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from inspection.models import ReviewState
from inspection.services import agreement
from inspection.services.agreement_facts import SAID, agreement_facts

from .figures import OfSpan

RATE = {"value": 0.7, "of": 100, "band": "marginal", "why": None}
OF_BAD = {"value": 0.2, "of": 50, "band": "poor", "why": None}
UNSAID = {"value": None, "of": 0, "band": None, "why": "nothing"}
FOUND = {
    "parts": 100,
    "audits": 55,
    "table": [
        {"said": "defect", "defect": 40, "good": 5, "weight_defect": 40.0, "weight_good": 5.0},
        {"said": "good", "defect": 10, "good": 45, "weight_defect": 10.0, "weight_good": 45.0},
    ],
    "figures": {
        "kappa": RATE,
        "effectiveness": {**RATE, "value": 0.85},
        "miss_rate": OF_BAD,
        "false_alarm_rate": {**OF_BAD, "value": 0.1, "band": "marginal"},
    },
}
NOTHING = {
    "parts": 0,
    "audits": None,
    "table": [
        {"said": said, "defect": 0, "good": 0, "weight_defect": 0.0, "weight_good": 0.0}
        for said in SAID.values()
    ],
    "figures": dict.fromkeys(("kappa", "effectiveness", "miss_rate", "false_alarm_rate"), UNSAID),
}
AGREEMENT = {
    "enough_audits": 30,
    "model": FOUND,
    "inspectors": [{"inspector": "Ida Inspector", **FOUND}],
    "second_looks": NOTHING,
    "pairs": [],
    "differing": [],
}


class Rate(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True, help_text="null where it cannot be said: `why`")
    of = serializers.IntegerField(help_text="how many parts it was computed from")
    band = serializers.ChoiceField(
        [agreement.GOOD, agreement.MARGINAL, agreement.POOR], allow_null=True
    )
    why = serializers.ChoiceField(
        [agreement.NOTHING, agreement.NONE_OF_THEM, agreement.ONE_KIND, agreement.FEW_AUDITS],
        allow_null=True,
        help_text="nothing was reviewed; there were none of them; every part was called the same; "
        "fewer audits than `enough_audits`",
    )


class SaidOf(serializers.Serializer[Any]):
    """What was said, and what the reference says of the same parts."""

    said = serializers.ChoiceField(list(SAID.values()))
    defect = serializers.IntegerField()
    good = serializers.IntegerField()
    weight_defect = serializers.FloatField(help_text="how many parts they stand for")
    weight_good = serializers.FloatField()


class Compared(serializers.Serializer[Any]):
    parts = serializers.IntegerField()
    audits = serializers.IntegerField(
        allow_null=True, help_text="passed parts drawn for an audit; null: there is no sampling"
    )
    table = SaidOf(many=True)
    figures = serializers.DictField(
        child=Rate(), help_text="kappa, effectiveness, miss_rate, false_alarm_rate"
    )


class OfInspector(Compared):
    inspector = serializers.CharField()


class OfPair(Compared):
    first = serializers.CharField(help_text="whose look is the reference")
    second = serializers.CharField()


class Differing(serializers.Serializer[Any]):
    inspection = serializers.UUIDField()
    first = serializers.CharField(allow_null=True)
    first_state = serializers.ChoiceField(ReviewState.values)
    second = serializers.CharField()
    second_state = serializers.ChoiceField(ReviewState.values)
    at = serializers.DateTimeField()


class AgreementOut(serializers.Serializer[Any]):
    enough_audits = serializers.IntegerField()
    model = Compared(help_text="what the model said, against the inspectors")
    inspectors = OfInspector(many=True, help_text="the model, against each inspector")
    second_looks = Compared(help_text="blind second looks, against the first ones")
    pairs = OfPair(many=True)
    differing = Differing(many=True, help_text="the newest two looks that differ, at most 24")


class Agreement(OfSpan):
    """The figures of the page Agreement."""

    noun = "reviews"

    @extend_schema(
        responses=AgreementOut, examples=[OpenApiExample("Nobody looked twice", AGREEMENT)]
    )
    def get(self, request: Request) -> Response:
        """Attribute agreement of decisions of record whose verdict came in that time: κ,
        effectiveness, miss rate and false-alarm rate of the model against the inspectors, and of
        inspectors among each other, each with the table that it is computed from. Audited passes
        count for as many as the chance of being drawn says."""
        stations = self.stations()
        span = agreement.Span(
            products=tuple(self.products()),
            since=self.query["since"],
            until=self.query["until"],
            stations=None if stations is None else tuple(one.pk for one in stations),
        )
        return Response(agreement_facts(span))
