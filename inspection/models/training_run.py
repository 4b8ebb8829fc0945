from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .base import Job, Keyed


class TrainingRun(Job):
    """A job that turns a snapshot into a model version."""

    class Preset(models.TextChoices):
        TINY = "tiny", _("Tiny: a first try in a minute, not for decisions")
        COMPACT = "compact", _("Compact: 128 px, for a CPU or a small GPU")
        PAPER = "paper", _("Paper: 256 px, for a GPU")

    class Method(models.TextChoices):
        """As `ml.methods` names them."""

        FUSED = "fused", _("Restoration and memory together")
        PAPER = "paper", _("The paper: restoration after self-supervised learning")
        PAPER_NOSSL = "paper-nossl", _("The paper without self-supervised learning")
        MEMORY = "memory", _("Memory of normal places")
        CSA = "csa", _("Coherent semantic attention")
        SHIFT_NET = "shift-net", _("Shift-Net")
        SKIP_GANOMALY = "skip-ganomaly", _("Skip-GANomaly")

    class Vetting(models.TextChoices):
        PAUSE = "pause", _("Show me the suspicious pictures first")
        EXCLUDE = "exclude", _("Leave out clear outliers and go on")
        KEEP = "keep", _("Keep every picture")

    class Trigger(models.TextChoices):
        PERSON = "person", _("Started by a person")
        SELECTION = "selection", _("False calls that are to be learned")
        SCHEDULE = "schedule", _("By schedule")
        DRIFT = "drift", _("After a drift alert")

    viewpoint = models.ForeignKey(
        "Viewpoint", on_delete=models.PROTECT, related_name="training_runs"
    )
    number = models.PositiveIntegerField()
    snapshot = models.OneToOneField(
        "DatasetSnapshot", on_delete=models.PROTECT, related_name="training_run"
    )
    method = models.CharField(max_length=40, choices=Method, default=Method.FUSED)
    preset = models.CharField(max_length=12, choices=Preset, default=Preset.COMPACT)
    budget_minutes = models.FloatField()
    steps = models.PositiveIntegerField(null=True, blank=True)
    seed = models.PositiveIntegerField(default=1)
    vetting = models.CharField(max_length=8, choices=Vetting, default=Vetting.PAUSE)
    vetted = models.BooleanField(default=False)
    repair_zones = models.JSONField(
        default=list, blank=True, help_text="of the viewpoint, as they were at the start"
    )
    symmetries = models.JSONField(
        default=list, blank=True, help_text="of the viewpoint, as they were at the start"
    )
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.PERSON)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    stages = models.JSONField(default=list, blank=True)
    stage = models.CharField(max_length=20, blank=True)
    backbone = models.CharField(max_length=40, blank=True)
    checkpoint = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(default=dict, blank=True)

    class Meta(Job.Meta):
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["viewpoint", "number"], name="run_number_once"),
        )

    def __str__(self) -> str:
        return f"Run {self.number} of {self.viewpoint}"


class RunMetric(Keyed):
    """Values of one step. A step done again after a resume takes the place of the old one."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="metric_rows")
    stage = models.CharField(max_length=20)
    step = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ("stage", "step")
        constraints = (
            models.UniqueConstraint(fields=["run", "stage", "step"], name="run_metric_once"),
        )

    def __str__(self) -> str:
        return f"{self.stage} {self.step}"


class RunLogLine(Keyed):
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="log_lines")
    attempt = models.PositiveSmallIntegerField()
    level = models.CharField(max_length=10, default="info")
    message = models.TextField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.message


class RunSample(Keyed):
    """A strip of restorations of sample parts as the model saw them at one step."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="samples")
    stage = models.CharField(max_length=20)
    step = models.PositiveIntegerField()
    storage_key = models.CharField(max_length=160)
    columns = models.JSONField(default=list)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["run", "stage", "step"], name="run_sample_once"),
        )

    def __str__(self) -> str:
        return f"{self.stage} {self.step}"
