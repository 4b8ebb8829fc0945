"""The form of the page API keys."""

from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inspection.models import SCOPED

from .forms import StyledForm

# What a person calls what a scope opens, in the order of SCOPED.
NOUNS: dict[str, str | Promise] = {
    "products": _("Products and stations"),
    "datasets": _("Datasets"),
    "images": _("Pictures"),
    "runs": _("Training runs"),
    "models": _("Models and gates"),
    "inspections": _("Inspections, batches and reports"),
    "report_schedules": _("Report schedules"),
    "intakes": _("Watched folders"),
    "reviews": _("Reviews, reason codes and escapes"),
    "operating_points": _("Operating points"),
    "webhooks": _("Webhooks"),
    "audit": _("Audit trail"),
    "users": _("Users and their roles"),
    "notifications": _("Notifications"),
}
NEVER = ""


class KeyForm(StyledForm):
    """A name, when it ends, and what it may do."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What uses it: MES line 3, for example.")
    )
    days = forms.TypedChoiceField(
        label=_("Expires"),
        coerce=int,
        empty_value=None,
        required=False,
        choices=[
            (30, _("in 30 days")),
            (90, _("in 90 days")),
            (365, _("in a year")),
            (NEVER, _("never")),
        ],
        initial=365,
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        required=False,
        choices=[(f"{noun}:{may}", noun) for noun in SCOPED for may in ("read", "write")],
        widget=forms.CheckboxSelectMultiple,
    )

    @property
    def groups(self) -> list[dict[str, Any]]:
        """A line of tick boxes per noun, as they were sent."""
        sent: Any = self.data
        chosen = set(sent.getlist("scopes")) if self.is_bound else set()
        return [
            {
                "noun": noun,
                "word": NOUNS[noun],
                "read": f"{noun}:read" in chosen,
                "write": f"{noun}:write" in chosen,
            }
            for noun in SCOPED
        ]
