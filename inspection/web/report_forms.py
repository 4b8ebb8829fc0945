"""Forms of the page Reports."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from inspection.errors import UserError
from inspection.models import Lot, Product, ReportKind, ReportSchedule
from inspection.services.reports import LOT_KINDS

from .forms import StyledForm, styled


def last_week() -> tuple[datetime, datetime]:
    """The last whole week, Monday to Monday, in the plant's zone."""
    today = timezone.localdate()
    monday = today - timedelta(days=today.weekday())
    return _midnight(monday - timedelta(days=7)), _midnight(monday)


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


class OfProducts(StyledForm):
    """A form about one of the products that the person may see."""

    def __init__(
        self, *args: Any, products: QuerySet[Product], fixed: bool = False, **kwargs: Any
    ) -> None:
        forms.Form.__init__(self, *args, **kwargs)
        self.fields["product"].queryset = products  # type: ignore[attr-defined]
        self.fields["product"].disabled = fixed
        styled(self)  # looks at errors, so only now


class ReportForm(OfProducts):
    """Which report, about what."""

    prefix = "report"
    kind = forms.ChoiceField(label=_("Report"), choices=ReportKind.choices)
    product = forms.ModelChoiceField(Product.objects.none(), label=_("Product"), empty_label=None)
    lot = forms.CharField(
        label=_("Lot"),
        max_length=80,
        required=False,
        help_text=_("For a lot report: its number, as the MES calls it."),
        widget=forms.TextInput(attrs={"list": "lots", "autocomplete": "off"}),
    )
    since = forms.DateField(
        label=_("From"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = forms.DateField(
        label=_("To, included"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, products: QuerySet[Product], **kwargs: Any) -> None:
        super().__init__(*args, products=products, **kwargs)
        begin, end = last_week()
        self.fields["since"].initial = timezone.localdate(begin)
        self.fields["until"].initial = timezone.localdate(end) - timedelta(days=1)

    def order(self) -> dict[str, Any]:
        """What `services.reports.request_report` wants to know. Raises UserError for a lot that
        the product has not."""
        data = self.cleaned_data
        found: dict[str, Any] = {"kind": data["kind"], "language": get_language() or "en"}
        if data["kind"] in LOT_KINDS:
            found["lot"] = self._lot()
        elif data["since"] and data["until"]:
            found["since"] = _midnight(data["since"])
            found["until"] = _midnight(data["until"] + timedelta(days=1))
        return found

    def _lot(self) -> Lot | None:
        code, product = self.cleaned_data["lot"].strip(), self.cleaned_data["product"]
        if not code:
            return None
        lot = Lot.objects.filter(product=product, code=code).first()
        if lot is None:
            raise UserError(
                "unknown_lot",
                "{product} has no lot {lot}. Check its number.",
                product=product.code,
                lot=code,
                field="lot",
            )
        return lot


class ScheduleForm(OfProducts):
    """Which report, how often, to whom. One that is there keeps its product and its language."""

    prefix = "schedule"
    kind = forms.ChoiceField(
        label=_("Report"), choices=ReportKind.choices, initial=ReportKind.WEEKLY_PDF
    )
    product = forms.ModelChoiceField(Product.objects.none(), label=_("Product"), empty_label=None)
    every = forms.ChoiceField(
        label=_("How often"),
        choices=ReportSchedule.Every.choices,
        initial=ReportSchedule.Every.WEEK,
    )
    weekday = forms.TypedChoiceField(
        label=_("Day of the week"), choices=list(WEEKDAYS.items()), coerce=int, initial=0
    )
    hour = forms.TypedChoiceField(
        label=_("Hour"),
        choices=[(hour, f"{hour:02}:00") for hour in range(24)],
        coerce=int,
        initial=6,
    )
    recipients = forms.CharField(
        label=_("To"),
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("E-mail addresses, one a line."),
    )

    def __init__(
        self,
        *args: Any,
        products: QuerySet[Product],
        schedule: ReportSchedule | None = None,
        **kwargs: Any,
    ) -> None:
        if schedule:
            kwargs["initial"] = {
                "kind": schedule.kind,
                "product": schedule.product_id,
                "every": schedule.every,
                "weekday": schedule.weekday,
                "hour": schedule.hour,
                "recipients": "\n".join(schedule.recipients),
            }
        super().__init__(*args, products=products, fixed=schedule is not None, **kwargs)
        self.schedule = schedule

    def order(self) -> dict[str, Any]:
        """What `services.report_schedules.schedule_report` wants to know, or `edit_schedule`."""
        data = dict(self.cleaned_data)
        data.pop("product")
        addresses = data.pop("recipients").replace(",", "\n").replace(";", "\n").splitlines()
        language: dict[str, str] = {} if self.schedule else {"language": get_language() or "en"}
        return {**data, **language, "recipients": addresses}
