from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower

from inspection.ids import new_id


class User(AbstractUser):
    """A person who signs in. What they may do comes from their memberships."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    must_change_password = models.BooleanField(default=False)
    badge = models.CharField(
        max_length=60, blank=True, help_text="Operator identifier sent to the MES"
    )
    language = models.CharField(
        max_length=10, blank=True, help_text="of the pages; empty: what the browser asks for"
    )
    pin = models.CharField(
        max_length=128, blank=True, help_text="hash of the short password of shared stations"
    )

    class Meta:
        ordering = ("username",)
        constraints = (
            models.UniqueConstraint(
                Lower("badge"), condition=~models.Q(badge=""), name="user_badge_once"
            ),
        )

    def __str__(self) -> str:
        return self.get_full_name() or self.username
