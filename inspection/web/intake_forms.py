"""The form of a watched folder. What is allowed is decided by services.intakes."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from inspection.models import Intake, Station, Viewpoint

from .forms import StyledForm, styled


class IntakeForm(StyledForm):
    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What your people call the machine.")
    )
    viewpoint = forms.ModelChoiceField(
        Viewpoint.objects.none(), label=_("Product and viewpoint"), empty_label=None
    )
    station = forms.ModelChoiceField(
        Station.objects.all(),
        label=_("Station"),
        required=False,
        empty_label=_("Not from a station"),
    )
    location = forms.CharField(
        label=_("Folder"),
        max_length=500,
        help_text=_("A full path on the server, or s3://bucket/prefix."),
    )
    pattern = forms.CharField(
        label=_("How files are named"), max_length=200, initial="{lot}_{serial}_{position}.png"
    )
    stable_seconds = forms.IntegerField(
        label=_("Lies still for (seconds)"), initial=5, min_value=1, max_value=3600
    )
    quiet_minutes = forms.IntegerField(
        label=_("Close a lot after (minutes)"), initial=15, min_value=1, max_value=10080
    )
    afterwards = forms.ChoiceField(label=_("Afterwards"), choices=Intake.Afterwards)

    def __init__(self, *args: Any, viewpoints: QuerySet[Viewpoint], **kwargs: Any) -> None:
        forms.Form.__init__(self, *args, **kwargs)
        self.fields["viewpoint"].queryset = viewpoints  # type: ignore[attr-defined]
        styled(self)  # looks at errors, so only now
