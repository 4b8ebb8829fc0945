"""Forms of the verification station, of reason codes and of escapes."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from inspection.models import Product, ReasonCode
from inspection.services.pins import LONGEST, SHORTEST
from inspection.services.submission_fields import HIGHEST_POSITION

from .forms import StyledForm


class UnlockForm(StyledForm):
    who = forms.CharField(label=_("Badge or user name"), max_length=150, required=False)
    pin = forms.CharField(
        label=_("PIN"),
        max_length=64,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "inputmode": "text"}),
    )


class PinForm(StyledForm):
    badge = forms.CharField(
        label=_("Badge"),
        max_length=60,
        required=False,
        help_text=_("As on your badge; also sent to the MES as the operator."),
    )
    pin = forms.CharField(
        label=_("PIN"),
        max_length=64,
        required=False,
        help_text=_("4 to 12 digits or letters. Leave it empty to have none."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "minlength": SHORTEST}),
    )
    pin_again = forms.CharField(
        label=_("PIN again"),
        max_length=64,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "maxlength": LONGEST}),
    )
    password = forms.CharField(
        label=_("Your password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def clean_pin_again(self) -> str:
        again = str(self.cleaned_data["pin_again"])
        if again != self.cleaned_data.get("pin", ""):
            raise forms.ValidationError(_("The two are not the same."))
        return again


class ReasonCodeForm(StyledForm):
    code = forms.CharField(label=_("Code"), max_length=40, help_text=_("As your MES calls it."))
    text = forms.CharField(label=_("What it means"), max_length=120)


class SharesForm(StyledForm):
    audit_percent = forms.FloatField(
        label=_("Passed parts to audit, %"),
        min_value=0,
        max_value=100,
        help_text=_("Drawn by chance. Without audits nobody knows what slips through."),
    )
    second_percent = forms.FloatField(
        label=_("Reviewed parts to look at twice, %"),
        min_value=0,
        max_value=100,
        help_text=_("By somebody else, who sees neither the verdict nor the first judgement."),
    )

    @classmethod
    def of(cls, product: Product) -> "SharesForm":
        shares = (product.audit_rate, product.second_look_rate)
        audit, second = (round(100 * share, 6) for share in shares)
        return cls(initial={"audit_percent": f"{audit:g}", "second_percent": f"{second:g}"})

    def shares(self) -> dict[str, float]:
        """As the product keeps them, 0 to 1."""
        return {
            "audit_rate": self.cleaned_data["audit_percent"] / 100,
            "second_look_rate": self.cleaned_data["second_percent"] / 100,
        }


class EscapeForm(StyledForm):
    serial_number = forms.CharField(
        label=_("Serial number"),
        max_length=120,
        required=False,
        help_text=_("Or the panel and position of a unit that has none."),
    )
    panel_id = forms.CharField(label=_("Panel"), max_length=120, required=False)
    position_number = forms.IntegerField(
        label=_("Position on the panel"),
        required=False,
        min_value=0,
        max_value=HIGHEST_POSITION,
        help_text=_("Needed where the panel or the serial number has several."),
    )
    product = forms.ModelChoiceField(
        Product.objects.none(),
        label=_("Product"),
        required=False,
        empty_label=_("Whichever has this number"),
    )
    found_where = forms.CharField(
        label=_("Found where"),
        max_length=120,
        help_text=_("Final test, customer, field …"),
    )
    found_at = forms.DateTimeField(
        label=_("Found when"),
        required=False,
        help_text=_("Empty: now."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    reason_code = forms.ModelChoiceField(
        ReasonCode.objects.none(), label=_("Reason"), required=False, empty_label=_("Not known")
    )
    comment = forms.CharField(
        label=_("Comment"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, products: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        codes = ReasonCode.objects.filter(product__in=products, retired_at=None)
        self.fields["product"].queryset = products  # type: ignore[attr-defined]
        self.fields["reason_code"].queryset = codes.select_related("product")  # type: ignore[attr-defined]

    def clean_panel_id(self) -> str | None:
        """Left empty it says nothing, as the position does."""
        return self.cleaned_data["panel_id"] or None
