"""The bodies of CFX messages, by the names of IPC-2591. Pure: no database, no clock.

Lengths are fractions of the picture (0 to 1, from its top left): the scale of a camera in mm is
not known here.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from .envelopes import named

Body = dict[str, Any]
Facts = dict[str, Any]

# Codes of station states (SEMI E10, as CFX numbers them): standing by without a product, at work.
IDLE, AT_WORK = 2200, 1100
# What is left of a unit that only names the work: a failed part must never look done and good to
# a receiver that reads no more than WorkCompleted.
WORK_RESULTS = {"Passed": "Completed", "Failed": "Failed", "Error": "Aborted", "Skipped": "Aborted"}
# The one cause that every edition of the enumeration has; FaultCode and Description say more.
FAULT_CAUSE = "MechanicalFailure"


def connected(handle: str, network_uri: str, target_address: str) -> Body:
    return {
        "CFXHandle": handle,
        "RequestNetworkUri": network_uri,
        "RequestTargetAddress": target_address,
    }


def heartbeat(handle: str, seconds: float) -> Body:
    return {"CFXHandle": handle, "HeartbeatFrequency": span(seconds), "ActiveFaults": []}


def work_started(facts: Facts) -> Body:
    return {
        "PrimaryIdentifier": unit_identifier(facts),
        "HermesIdentifier": None,
        "TransactionID": facts["id"],
        "Lane": None,
        "UnitCount": 1,
        "Units": [_position(facts)],
    }


def work_completed(facts: Facts) -> Body:
    return {
        "TransactionID": facts["id"],
        "Result": WORK_RESULTS.get(facts["result"], "Aborted"),
        "PrimaryIdentifier": unit_identifier(facts),
        "HermesIdentifier": None,
        "UnitCount": 1,
        "Units": [_position(facts)],
        "PerformanceImpacts": [],
    }


def units_inspected(
    facts: Facts,
    *,
    pictures: list[str] | None = None,
    review: Facts | None = None,
) -> Body:
    """What was found on one unit. `pictures`: addresses by the picture's number; `review`: who
    judged it, where this tells of a review."""
    return {
        "TransactionId": facts["id"],
        "InspectionMethod": "AOI",
        "SamplingInformation": {
            "SamplingMethod": "NoSampling",
            "LotSize": None,
            "SampleSize": None,
        },
        "Inspector": _inspector(review) if review else None,
        "RecipeName": facts["recipe"]["name"],
        "RecipeRevision": facts["recipe"]["revision"],
        "InspectedPanel": None,
        "InspectedUnits": [
            {
                "UnitIdentifier": unit_identifier(facts),
                "UnitPositionNumber": facts["position_number"] or 1,
                "OverallResult": facts["result"],
                "Verification": facts["verification"],
                "TotalInspectionCount": 1,
                "Inspections": [_inspection(facts, pictures or [], review)],
            }
        ],
    }


def fault_occurred(facts: Facts, occurrence: UUID) -> Body:
    """A unit that got no verdict."""
    return {
        "Fault": {
            "$type": "CFX.Structures.Fault, CFX",
            "Cause": FAULT_CAUSE,
            "Severity": "Error",
            "FaultCode": "NO_VERDICT",
            "FaultOccurrenceId": str(occurrence),
            "Lane": None,
            "Stage": None,
            "SideLocation": "Unknown",
            "AccessType": "Unknown",
            "Description": f"{unit_identifier(facts)}: {facts['error'] or 'no verdict'}"[:1024],
            "DescriptionTranslations": {},
            "OccurredAt": facts["completed_at"],
            "DueDateTime": None,
        }
    }


def station_state(old: int, new: int, seconds: float | None) -> Body:
    """`seconds` spent in the old state; None: not known."""
    return {
        "OldState": old,
        "OldStateDuration": None if seconds is None else span(seconds),
        "NewState": new,
        "RelatedFault": None,
    }


def recipe_activated(facts: Facts) -> Body:
    return {
        "RecipeName": facts["recipe"]["name"],
        "Revision": facts["recipe"]["revision"],
        "Lane": None,
        "Stage": None,
    }


def result(ok: bool = True, message: str | None = None, code: int = 0) -> Body:
    """A RequestResult."""
    return {"Result": "Success" if ok else "Failed", "ResultCode": code, "Message": message}


def span(seconds: float) -> str:
    """hh:mm:ss, with days before it where there are any, as a .NET TimeSpan reads it."""
    length = timedelta(seconds=max(0, round(seconds)))
    hours, rest = divmod(length.seconds, 3600)
    clock = f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{length.days}.{clock}" if length.days else clock


def unit_identifier(facts: Facts) -> str:
    """Its panel, where it is a position of one; else its serial number; else the MES's own id."""
    return str(facts["panel_id"] or facts["serial_number"] or facts["external_id"] or facts["id"])


# --- inside UnitsInspected ---------------------------------------------------------------


def _position(facts: Facts) -> Body:
    return {
        "UnitIdentifier": unit_identifier(facts),
        "PositionNumber": facts["position_number"] or 1,
        "PositionName": facts["serial_number"] or None,
        "X": 0.0,
        "Y": 0.0,
        "Rotation": 0.0,
        "FlipX": False,
        "FlipY": False,
    }


def _inspector(review: Facts) -> Body:
    return {
        "OperatorIdentifier": review.get("badge") or review["author"],
        "ActorType": "Human",
        "LastName": None,
        "FirstName": None,
        "LoginName": review["author"],
    }


def _inspection(facts: Facts, pictures: list[str], review: Facts | None) -> Body:
    return {
        "UniqueIdentifier": facts["id"],
        "InspectionName": f"INSPECT_{facts['recipe']['name']}",
        "InspectionStartTime": facts["captured_at"] or facts["created_at"],
        "InspectionEndTime": facts["completed_at"],
        "TestProcedure": None,
        "Comments": _comments(facts, review),
        "Result": facts["result"],
        "Verification": facts["verification"],
        "VerificationDetail": facts["reason_code"],
        "Error": facts["error"] or None,
        "RefNo": facts["external_id"],
        "DefectsFound": _defects(facts, pictures),
        "Symptoms": [],
        "Measurements": _measurements(facts),
    }


def _comments(facts: Facts, review: Facts | None) -> str | None:
    if review:
        return review["comment"] or None
    return "needs review" if facts["disposition"] == "needs_review" else None


def _defects(facts: Facts, pictures: list[str]) -> list[Body]:
    """Only what somebody calls a defect or must look at: a part that passed has none."""
    if facts["result"] != "Failed" and facts["disposition"] != "needs_review":
        return []
    found = facts["defects"] or [None]  # a failed part without an outline still has a defect
    return [_defect(facts, number, one, pictures) for number, one in enumerate(found)]


def _defect(facts: Facts, number: int, region: Facts | None, pictures: list[str]) -> Body:
    return {
        "UniqueIdentifier": str(named(UUID(facts["id"]), f"defect-{number}")),
        "DefectCode": facts["reason_code"] or "ANOMALY",
        "DefectCategory": "Visual anomaly",
        "Description": "",
        "Comments": None,
        "ComponentOfInterest": None,
        "RegionOfInterest": _outline(region) if region else None,
        "DefectImages": [_picture(one) for one in _shown(region, pictures)],
        "Priority": 1,
        "ConfidenceLevel": confidence(facts, region),
        "RelatedMeasurements": [],
        "RelatedSymptoms": [],
        "Verification": facts["verification"],
        "VerificationDetail": facts["reason_code"],
    }


def _outline(region: Facts) -> Body:
    """The region's rectangle: from its first corner to the three others."""
    left, top = region["x"], region["y"]
    right, bottom = left + region["width"], top + region["height"]
    corners = [(right, top), (right, bottom), (left, bottom)]
    return {
        "StartPointX": left,
        "StartPointY": top,
        "RegionSegments": [{"X": x, "Y": y} for x, y in corners],
    }


def _shown(region: Facts | None, pictures: list[str]) -> list[str]:
    """The picture that the region is on; all of them where there is no region."""
    if region is None:
        return pictures
    return pictures[region["image"] : region["image"] + 1]


def _picture(address: str) -> Body:
    return {
        "MimeType": "image/webp",
        "TransferMode": "OutOfBand",
        "ImageData": None,
        "ImageURL": address,
    }


def confidence(facts: Facts, region: Facts | None) -> float:
    """1 to 100: how sure it is that a good part would not look so, 100 · (1 − p); 1 where no
    p-value is known."""
    p = (region or {}).get("p_value")
    p = facts["p_value"] if p is None else p
    return 1.0 if p is None else round(min(100.0, max(1.0, 100 * (1 - p))), 2)


def _measurements(facts: Facts) -> list[Body]:
    if facts["score"] is None:
        return []
    return [
        {
            "$type": "CFX.Structures.NumericMeasurement, CFX",
            "UniqueIdentifier": str(named(UUID(facts["id"]), "anomaly_score")),
            "MeasurementName": "anomaly_score",
            "TimeRecorded": facts["completed_at"],
            "Sequence": 1,
            "Result": facts["result"],
            "CRDs": None,
            "MeasuredValue": {
                "Value": facts["score"],
                "MaximumAcceptableValue": facts["threshold"],
            },
        }
    ]
