from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .base import Keyed


class Dataset(Keyed):
    """A named, growing set of pictures of one viewpoint."""

    class Purpose(models.TextChoices):
        GOOD = "good", _("Good parts to learn from")
        GOLDEN = "golden", _("Golden set")

    viewpoint = models.ForeignKey("Viewpoint", on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=120)
    purpose = models.CharField(max_length=8, choices=Purpose, default=Purpose.GOOD)

    class Meta:
        ordering = ("viewpoint", "name")
        constraints = (
            models.UniqueConstraint(fields=["viewpoint", "name"], name="dataset_name_once"),
        )

    def __str__(self) -> str:
        return self.name


class DatasetImage(Keyed):
    """A picture's place in a dataset. `label` is empty for a good part.

    Of a golden set, a defect may be one that every model must catch, and a good part one that
    every model must pass. `origin` is the inspection that a picture was taken over from.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="items")
    image = models.ForeignKey("Image", on_delete=models.PROTECT, related_name="dataset_items")
    file_name = models.CharField(max_length=255)
    label = models.CharField(max_length=60, blank=True)
    lot_code = models.CharField(max_length=80, blank=True)
    must_catch = models.BooleanField(default=False)
    must_pass = models.BooleanField(default=False)
    origin = models.ForeignKey(
        "Inspection",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="dataset_items",
    )
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    excluded_at = models.DateTimeField(null=True, blank=True)
    excluded_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["dataset", "image"], name="dataset_image_once"),
            models.CheckConstraint(
                condition=(Q(must_catch=False) | ~Q(label="")) & (Q(must_pass=False) | Q(label="")),
                name="dataset_image_flag_fits_label",
            ),
        )

    def __str__(self) -> str:
        return self.file_name


class DatasetSnapshot(Keyed):
    """The frozen list that one run learns from, with what was left out and why."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="snapshots")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 over the hashes used")
    frozen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(fields=["dataset", "number"], name="snapshot_number_once"),
        )

    def __str__(self) -> str:
        return f"{self.dataset} #{self.number}"


class SnapshotImage(Keyed):
    """One picture of a snapshot: what vetting said of it, what was decided, how it was used."""

    class Decision(models.TextChoices):
        OPEN = "open", _("Not decided")
        KEPT = "kept", _("Kept")
        EXCLUDED = "excluded", _("Left out")

    class Split(models.TextChoices):
        NONE = "", _("Not used")
        TRAIN = "train", _("Trained on")
        CALIBRATION = "calibration", _("Calibration")

    snapshot = models.ForeignKey(DatasetSnapshot, on_delete=models.CASCADE, related_name="items")
    image = models.ForeignKey("Image", on_delete=models.PROTECT, related_name="snapshot_items")
    file_name = models.CharField(max_length=255)
    decision = models.CharField(max_length=8, choices=Decision, default=Decision.OPEN)
    reason = models.CharField(max_length=300, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    split = models.CharField(max_length=12, choices=Split, default=Split.NONE, blank=True)
    vet_rank = models.PositiveIntegerField(null=True, blank=True)
    vet_score = models.FloatField(null=True, blank=True)
    vet_flags = models.JSONField(default=list, blank=True)
    vet_flagged = models.BooleanField(default=False)
    vet_suggests_exclusion = models.BooleanField(default=False)
    vet_nearest = models.JSONField(
        default=list, blank=True, help_text="keys of the images that it resembles most"
    )

    class Meta:
        ordering = ("vet_rank", "id")
        constraints = (
            models.UniqueConstraint(fields=["snapshot", "image"], name="snapshot_image_once"),
        )

    def __str__(self) -> str:
        return self.file_name
