from django.db import models

from .base import Keyed


class Lot(Keyed):
    """What the MES calls a lot; a work order is a property of it."""

    product = models.ForeignKey("Product", on_delete=models.PROTECT, related_name="lots")
    code = models.CharField(max_length=80)
    work_order = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["product", "code"], name="lot_code_once"),)

    def __str__(self) -> str:
        return self.code


class Unit(Keyed):
    """A unit position: a serial number, or a place on a panel, of one product."""

    product = models.ForeignKey("Product", on_delete=models.PROTECT, related_name="units")
    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, null=True, related_name="units")
    serial_number = models.CharField(max_length=120, blank=True)
    panel_id = models.CharField(max_length=120, blank=True)
    position_number = models.PositiveIntegerField(default=0, help_text="0: not on a panel")

    class Meta:
        ordering = ("-id",)
        indexes = (
            # Finds what begins so, whatever the collation of the database.
            models.Index(
                fields=["serial_number"], opclasses=["varchar_pattern_ops"], name="unit_by_serial"
            ),
            models.Index(
                fields=["position_number"],
                condition=models.Q(position_number__gt=0),
                name="unit_by_position",
            ),
            models.Index(
                fields=["panel_id"], condition=~models.Q(panel_id=""), name="unit_by_panel"
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["product", "serial_number", "panel_id", "position_number"],
                name="unit_position_once",
            ),
            models.CheckConstraint(
                condition=~models.Q(serial_number="", panel_id=""), name="unit_is_named"
            ),
        )

    def __str__(self) -> str:
        return self.serial_number or f"{self.panel_id}/{self.position_number}"
