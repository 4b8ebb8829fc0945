from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base import Keyed


class Role(models.TextChoices):
    VIEWER = "viewer", _("Viewer")
    INSPECTOR = "inspector", _("Inspector")
    ENGINEER = "engineer", _("Engineer")
    ADMINISTRATOR = "administrator", _("Administrator")


RANK = {role: rank for rank, role in enumerate(Role.values)}


class Membership(Keyed):
    """A user's role for one product, or for all of them where `product` is empty."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    product = models.ForeignKey(
        "Product", on_delete=models.CASCADE, null=True, blank=True, related_name="memberships"
    )
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "product"], name="membership_once"),
            models.UniqueConstraint(
                fields=["user"], condition=Q(product=None), name="membership_all_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"
