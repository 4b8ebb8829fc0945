from django.db import models
from django.utils.translation import gettext_lazy as _

from .base import Keyed


class Symmetry(models.TextChoices):
    """What a good part may do in front of the camera and still be a good part; as `ml` names it."""

    FREE_ROTATION = "free_rotation", _("Free rotation")
    QUARTER_TURNS = "quarter_turns", _("Quarter turns")
    MIRROR_LEFT_RIGHT = "mirror_left_right", _("Mirror, left and right")
    MIRROR_TOP_BOTTOM = "mirror_top_bottom", _("Mirror, top and bottom")
    SHIFT = "shift", _("Shift")


class Viewpoint(Keyed):
    """One side or camera of a product; what is learned and decided belongs to it."""

    product = models.ForeignKey("Product", on_delete=models.CASCADE, related_name="viewpoints")
    code = models.CharField(max_length=40, default="main")
    name = models.CharField(max_length=80, default="Main view")
    side = models.CharField(max_length=20, blank=True)
    # Fractions of the picture: [{"x":…, "y":…, "width":…, "height":…}]; empty = sweep it all.
    repair_zones = models.JSONField(default=list, blank=True)
    symmetries = models.JSONField(
        default=list, blank=True, help_text="what a part may do and still be good: Symmetry"
    )

    class Meta:
        ordering = ("product", "code")
        constraints = (
            models.UniqueConstraint(fields=["product", "code"], name="viewpoint_code_once"),
        )

    def __str__(self) -> str:
        return f"{self.product.code} / {self.code}"

    @property
    def recipe_name(self) -> str:
        """What an MES calls it: the part number, and the viewpoint where it is not the main one."""
        return self.product.code if self.code == "main" else f"{self.product.code}/{self.code}"
