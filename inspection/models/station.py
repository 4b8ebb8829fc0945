from django.db import models

from .base import Keyed


class Station(Keyed):
    """Where pictures are taken: line, name, camera. `code` is what the MES calls it."""

    code = models.CharField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    line = models.CharField(max_length=80, blank=True)
    camera = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ("line", "code")

    def __str__(self) -> str:
        return f"{self.line} · {self.name}" if self.line else self.name
