from django.db import models

from .base import Keyed


class Viewpoint(Keyed):
    """One side or camera of a product; what is learned and decided belongs to it."""

    product = models.ForeignKey("Product", on_delete=models.CASCADE, related_name="viewpoints")
    code = models.CharField(max_length=40, default="main")
    name = models.CharField(max_length=80, default="Main view")
    side = models.CharField(max_length=20, blank=True)
    # Fractions of the picture: [{"x":…, "y":…, "width":…, "height":…}]; empty = sweep it all.
    repair_zones = models.JSONField(default=list, blank=True)
    symmetries = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("product", "code")
        constraints = (
            models.UniqueConstraint(fields=["product", "code"], name="viewpoint_code_once"),
        )

    def __str__(self) -> str:
        return f"{self.product.code} / {self.code}"
