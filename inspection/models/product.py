from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from .base import Keyed

IPC_CLASSES = [(1, _("Class 1")), (2, _("Class 2")), (3, _("Class 3"))]


class Product(Keyed):
    """A part type. `code` is the part number that the MES uses."""

    code = models.CharField("part number", max_length=60)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    ipc_class = models.PositiveSmallIntegerField(
        "IPC-A-610 class",
        default=2,
        choices=IPC_CLASSES,
    )
    opportunities_per_unit = models.PositiveIntegerField(default=1)
    cost_escape = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    cost_overkill = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    currency = models.CharField(max_length=3, default="EUR")
    audit_rate = models.FloatField(
        "share of passed parts drawn for an audit",
        default=0.0,
        help_text="0 to 1; without audits escapes stay unknown",
    )
    second_look_rate = models.FloatField(
        "share of reviewed parts that get a blind second look", default=0.0
    )
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("code",)
        constraints = (models.UniqueConstraint(Lower("code"), name="product_code_once"),)

    def __str__(self) -> str:
        return f"{self.code} {self.name}"
