"""The nouns (docs/architecture.md, Nouns). One file each."""

from .audit_event import AppendOnlyError, AuditEvent
from .base import ENDED, Job, JobState, Keyed
from .batch import Batch, Lane, Purpose, ScoringChunk
from .dataset import Dataset, DatasetImage, DatasetSnapshot, SnapshotImage
from .drift import DriftAlert
from .exchange import (
    SCOPED,
    SCOPES,
    ApiKey,
    Delivery,
    DeliveryAttempt,
    Endpoint,
    EventType,
    OutboxEvent,
)
from .gate import GateCheck
from .image import Image, ImageOwner
from .inspection import (
    DEFECT_STATES,
    TO_VERIFY,
    WAITS_FOR_A_PERSON,
    Disposition,
    ImageResult,
    Inspection,
    InspectionImage,
    ReviewState,
    Submission,
    Verdict,
)
from .intake import Intake, IntakeFile
from .membership import RANK, Membership, Role
from .model_version import ModelVersion, OperatingPoint
from .notification import Notification
from .partial_file import PartialFile
from .product import Product
from .report import Report, ReportKind, ReportSchedule
from .retraining_plan import RetrainingPlan
from .review import Escape, Look, ReasonCode, Review, ReviewClaim
from .station import Station
from .tally import DefectTally, HourlyTally
from .training_run import RunLogLine, RunMetric, RunSample, TrainingRun
from .unit import Lot, Unit
from .upload import Upload, UploadArchive, UploadReceipt
from .user import User
from .viewpoint import Symmetry, Viewpoint

__all__ = [
    "DEFECT_STATES",
    "ENDED",
    "RANK",
    "SCOPED",
    "SCOPES",
    "TO_VERIFY",
    "WAITS_FOR_A_PERSON",
    "ApiKey",
    "AppendOnlyError",
    "AuditEvent",
    "Batch",
    "Dataset",
    "DatasetImage",
    "DatasetSnapshot",
    "DefectTally",
    "Delivery",
    "DeliveryAttempt",
    "Disposition",
    "DriftAlert",
    "Endpoint",
    "Escape",
    "EventType",
    "GateCheck",
    "HourlyTally",
    "Image",
    "ImageOwner",
    "ImageResult",
    "Inspection",
    "InspectionImage",
    "Intake",
    "IntakeFile",
    "Job",
    "JobState",
    "Keyed",
    "Lane",
    "Look",
    "Lot",
    "Membership",
    "ModelVersion",
    "Notification",
    "OperatingPoint",
    "OutboxEvent",
    "PartialFile",
    "Product",
    "Purpose",
    "ReasonCode",
    "Report",
    "ReportKind",
    "ReportSchedule",
    "RetrainingPlan",
    "Review",
    "ReviewClaim",
    "ReviewState",
    "Role",
    "RunLogLine",
    "RunMetric",
    "RunSample",
    "ScoringChunk",
    "SnapshotImage",
    "Station",
    "Submission",
    "Symmetry",
    "TrainingRun",
    "Unit",
    "Upload",
    "UploadArchive",
    "UploadReceipt",
    "User",
    "Verdict",
    "Viewpoint",
]
