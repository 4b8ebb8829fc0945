"""Forms of the pages. What is allowed is decided by the services; these only read fields."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from inspection.errors import NotAllowed, UserError
from inspection.models import Product, Purpose, Role, Station, TrainingRun, Viewpoint


def styled(form: forms.BaseForm) -> None:
    for name, field in form.fields.items():
        widget = field.widget
        if isinstance(widget, (forms.RadioSelect, forms.CheckboxInput, forms.HiddenInput)):
            continue
        kind = "form-select" if isinstance(widget, forms.Select) else "form-control"
        widget.attrs.setdefault("class", kind)
        if name in form.errors:
            widget.attrs["aria-invalid"] = "true"


class StyledForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        styled(self)

    def refuse(self, field: str, message: str) -> None:
        """Show a service's refusal at its field, or above the form."""
        self.add_error(field if field in self.fields else None, message)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """What a service refuses inside stands at its field, and the page is shown again; what the
        person may not do at all goes on to `explains`."""
        try:
            yield
        except NotAllowed:
            raise
        except UserError as error:
            self.refuse(error.field, error.message)


class ProductForm(StyledForm):
    code = forms.CharField(
        label=_("Part number"), max_length=60, help_text=_("As your MES calls the part.")
    )
    name = forms.CharField(
        label=_("Name"), max_length=120, help_text=_("What your people call it.")
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    ipc_class = forms.TypedChoiceField(
        label=_("IPC-A-610 class"),
        coerce=int,
        choices=Product._meta.get_field("ipc_class").choices or (),
        initial=2,
    )
    cost_escape = forms.DecimalField(
        label=_("Cost of an escape"),
        required=False,
        min_value=0,
        help_text=_("A defect that the customer finds, per part."),
    )
    cost_overkill = forms.DecimalField(
        label=_("Cost of an overkill"),
        required=False,
        min_value=0,
        help_text=_("A good part that is rejected, per part."),
    )
    currency = forms.CharField(label=_("Currency"), max_length=3, initial="EUR")


class TrainForm(StyledForm):
    preset = forms.ChoiceField(choices=TrainingRun.Preset, initial=TrainingRun.Preset.COMPACT)
    budget_minutes = forms.FloatField(
        label=_("Minutes to learn"),
        initial=10,
        widget=forms.NumberInput(attrs={"step": "any", "min": "0.1", "inputmode": "decimal"}),
    )
    vetting = forms.ChoiceField(choices=TrainingRun.Vetting, initial=TrainingRun.Vetting.PAUSE)
    seed = forms.IntegerField(
        label=_("Seed"),
        initial=1,
        min_value=0,
        help_text=_("The same seed and pictures give the same model."),
    )
    method = forms.ChoiceField(
        choices=TrainingRun.Method, initial=TrainingRun.Method.FUSED, required=False
    )
    viewpoint = forms.CharField(widget=forms.HiddenInput)

    def clean_method(self) -> str:
        """Nothing chosen is the default."""
        return self.cleaned_data["method"] or TrainingRun.Method.FUSED


class BatchForm(StyledForm):
    name = forms.CharField(label=_("Name"), max_length=120)
    purpose = forms.ChoiceField(
        label=_("Purpose"),
        choices=[
            (Purpose.PRODUCTION, _("Production: counts in the figures")),
            (Purpose.TRIAL, _("Trial: to see how the model does")),
        ],
    )
    lot_code = forms.CharField(label=_("Lot"), max_length=80, required=False)
    work_order = forms.CharField(label=_("Work order"), max_length=80, required=False)
    station = forms.ModelChoiceField(
        Station.objects.all(),
        label=_("Station"),
        required=False,
        empty_label=_("Not from a station"),
    )
    model_version = forms.CharField(required=False, widget=forms.HiddenInput)
    viewpoint = forms.CharField(widget=forms.HiddenInput)


class PromoteForm(StyledForm):
    reason = forms.CharField(
        label=_("Why this model?"), max_length=300, widget=forms.Textarea(attrs={"rows": 2})
    )


class UserForm(StyledForm):
    username = forms.CharField(label=_("User name"), max_length=150)
    full_name = forms.CharField(label=_("Full name"), max_length=200, required=False)
    role = forms.ChoiceField(label=_("Role"), choices=Role, initial=Role.INSPECTOR)
    product = forms.ModelChoiceField(
        Product.objects.filter(archived_at=None),
        label=_("For"),
        required=False,
        empty_label=_("All products"),
    )


def viewpoint_of(product: Product, code: str) -> Viewpoint | None:
    """The viewpoint that a page is about: the named one, or the first."""
    found = list(product.viewpoints.order_by("id"))
    return next((v for v in found if v.code == code), found[0] if found else None)
