from django.conf import settings
from django.db import models
from django.db.models import Q

from .base import Keyed


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    INSPECTOR = "inspector", "Inspector"
    ENGINEER = "engineer", "Engineer"
    ADMINISTRATOR = "administrator", "Administrator"


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
