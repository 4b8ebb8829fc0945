"""The form of an endpoint: what every kind has, then what this kind asks for (`KINDS`)."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from inspection import policies
from inspection.models import Endpoint, EventType, Product, User
from inspection.services.endpoint_kinds import KINDS, Option

from .forms import styled

OPTION = "option-"  # before the names of a kind's own fields


class EndpointForm(forms.Form):
    """`endpoint`: the one that is edited. Its kind and product stay what they are."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What listens there."))
    address = forms.CharField(label=_("Address"), max_length=500)
    product = forms.ModelChoiceField(
        Product.objects.none(),
        label=_("Product"),
        required=False,
        empty_label=_("All products"),
        help_text=_("Only what concerns this product is sent."),
    )
    event_types = forms.MultipleChoiceField(
        label=_("Events"),
        choices=EventType.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(
        self, user: User, kind: str, data: Any = None, endpoint: Endpoint | None = None
    ) -> None:
        self.kind, self.endpoint = KINDS[kind], endpoint
        super().__init__(data, initial=_initial(endpoint))
        self._ask_product(user)
        self.fields["address"].help_text = _("For example: %(address)s") % {
            "address": self.kind.address_example
        }
        for option in self.kind.options:
            self.fields[OPTION + option.name] = _field(option, endpoint)
        styled(self)  # when all fields are there: it looks at the errors

    def _ask_product(self, user: User) -> None:
        if self.endpoint is not None:
            del self.fields["product"]
            return
        field = self.fields["product"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101
        mine = policies.products_with(user, policies.MANAGE)
        field.queryset = mine.filter(policies.IN_USE).order_by("code")
        if not policies.can(user, policies.ADMINISTER, None):
            field.required, field.empty_label = True, None

    @property
    def own_fields(self) -> list[forms.BoundField]:
        """The fields of this kind, in their order."""
        return [self[OPTION + option.name] for option in self.kind.options]

    @property
    def events(self) -> list[tuple[str, Any, bool]]:
        """Each event with its name, its words and whether it is ticked."""
        chosen = self["event_types"].value() or []
        return [(str(value), label, value in chosen) for value, label in EventType.choices]

    def given(self) -> dict[str, Any]:
        """What the service takes."""
        asked = {name: self.cleaned_data[name] for name in ("name", "address", "event_types")}
        if self.endpoint is None:
            asked["product"] = self.cleaned_data["product"]
        values = {one.name: self.cleaned_data[OPTION + one.name] for one in self.kind.options}
        secret = next((one.name for one in self.kind.options if one.form == "secret"), None)
        return {**asked, "options": values, "secret": values.pop(secret, "") if secret else ""}

    def refuse(self, field: str, message: str) -> None:
        """A service names an option by its own name."""
        own = field not in self.fields and OPTION + field in self.fields
        name = OPTION + field if own else field
        self.add_error(name if name in self.fields else None, message)


def _initial(endpoint: Endpoint | None) -> dict[str, Any]:
    if endpoint is None:
        return {}
    names = ("name", "address", "event_types")
    return {name: getattr(endpoint, name) for name in names}


def _field(option: Option, endpoint: Endpoint | None) -> forms.Field:
    kept = option.default if endpoint is None else endpoint.options.get(option.name, option.default)
    common: dict[str, Any] = {
        "label": option.label,
        "help_text": option.help,
        "required": option.required,
        "initial": kept,
    }
    if option.form == "switch":
        tick = forms.CheckboxInput(attrs={"class": "form-check-input"})
        return forms.BooleanField(**{**common, "required": False}, widget=tick)
    if option.form == "number":
        return forms.IntegerField(**common)
    if option.form == "choice":
        return forms.ChoiceField(**common, choices=option.choices)
    if option.form == "secret":
        hint = _("Empty keeps the one that is known.") if endpoint else option.help
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        return forms.CharField(
            label=option.label, help_text=hint, required=False, max_length=500, widget=widget
        )
    return forms.CharField(**common, max_length=500)
