"""What others ask of this endpoint, or tell it, and what it answers."""

import logging
from collections.abc import Callable
from typing import Any

from django.db import DataError
from django.utils import timezone

from inspection.errors import UserError
from inspection.models import Endpoint, User
from inspection.services import recipes, verifications

from . import bodies
from .envelopes import VERSION, Body, Envelope, named
from .events import INSPECTED
from .options import CfxOptions

log = logging.getLogger(__name__)
VENDOR, MODEL = "Kintsugi", "Inspection"
Answer = tuple[str, Body] | None


def answer(endpoint: Endpoint, options: CfxOptions, asked: Envelope) -> Envelope | None:
    """The answer to what came in; None where there is none to give: it is meant for others, it
    is our own, or it tells instead of asking.

    Its identity comes from the request's, so a request that the broker delivers twice is
    answered twice with the same message.
    """
    if asked.source == options.handle or asked.target not in (None, options.handle):
        return None
    if asked.name == INSPECTED:
        _take_over(endpoint, options, asked)
        return None
    if not asked.name.endswith("Request"):
        return None
    told = ANSWERS.get(asked.name, _not_supported)(endpoint, options, asked.body)
    return _envelope(options, asked, *told) if told else None


def failure(options: CfxOptions, asked: Envelope) -> Envelope | None:
    """What is said when answering went wrong; None to what does not ask."""
    if not asked.name.endswith("Request"):
        return None
    body = bodies.result(False, "This request could not be answered.", code=1)
    return _envelope(options, asked, "CFX.NotSupportedResponse", {"RequestResult": body})


def _envelope(options: CfxOptions, asked: Envelope, name: str, body: Body) -> Envelope:
    return Envelope(
        name,
        body,
        options.handle,
        named(asked.unique_id, f"{options.handle}:{name}"),
        timezone.now(),
        target=asked.source or None,
        request_id=asked.request_id or str(asked.unique_id),
    )


# --- what is asked -----------------------------------------------------------------------


def _are_you_there(_endpoint: Endpoint, options: CfxOptions, body: Body) -> Answer:
    if body.get("CFXHandle") not in (None, "", options.handle):
        return None
    return "CFX.AreYouThereResponse", {"Result": bodies.result(), **_whereabouts(options)}


def _who_is_there(endpoint: Endpoint, options: CfxOptions, body: Body) -> Answer:
    if not _wanted(endpoint, options, body):
        return None
    return "CFX.WhoIsThereResponse", {"Result": bodies.result(), **_whereabouts(options)}


def _whereabouts(options: CfxOptions) -> Body:
    return bodies.connected(options.handle, options.network_uri, options.request_address)


def _wanted(endpoint: Endpoint, options: CfxOptions, body: Body) -> bool:
    """Whether this endpoint has all, or any, of the topics that are asked for."""
    asked = body.get("SupportedTopics")
    names = {one.get("TopicName") for one in asked or [] if isinstance(one, dict)}
    ours = {topic["TopicName"] for topic in _topics(endpoint, options)}
    kind = body.get("SupportedTopicQueryType")
    if kind == "All":
        return names <= ours
    return not names or kind != "Any" or bool(names & ours)


def _information(endpoint: Endpoint, options: CfxOptions, body: Body) -> Answer:
    if body.get("CFXHandle") not in (None, "", options.handle):
        return None
    about = {
        "CFXHandle": options.handle,
        "CFXVersion": VERSION,
        "RequestNetworkUri": options.network_uri,
        "RequestTargetAddress": options.request_address,
        "UniqueIdentifier": str(endpoint.pk),
        "FriendlyName": endpoint.name,
        "Vendor": VENDOR,
        "ModelNumber": MODEL,
        "SerialNumber": options.handle.rpartition(".")[2],
        "Stages": [],
        "NumberOfLanes": 1,
        "HermesInformation": {"Enabled": False, "Version": None},
        "OperatingRequirements": None,
        "SupportedTopics": _topics(endpoint, options),
    }
    name = "CFX.GetEndpointInformationResponse"
    return name, {"Result": bodies.result(), "EndpointInformation": about}


def _topics(_endpoint: Endpoint, options: CfxOptions) -> list[Body]:
    both = {True: "PublisherConsumer", False: "Publisher"}
    return [
        _topic("CFX", both[True]),
        _topic("CFX.Production", both[options.may_activate]),
        _topic("CFX.Production.TestAndInspection", both[bool(options.reviewer)]),
        _topic("CFX.ResourcePerformance", both[False]),
    ]


def _topic(name: str, support: str) -> Body:
    return {"TopicName": name, "TopicSupportType": support, "SupportedMessages": []}


def _activate_recipe(endpoint: Endpoint, options: CfxOptions, body: Body) -> Answer:
    if not options.may_activate:
        return _refused("This endpoint may not choose models; an administrator can allow it.")
    try:
        recipes.activate(
            str(body.get("RecipeName") or ""),
            str(body.get("Revision") or ""),
            by=f"CFX endpoint {endpoint.name}",
            only=endpoint.product,
        )
        told = bodies.result(message="OK")
    except UserError as error:
        told = bodies.result(False, error.message, code=1)
    return "CFX.Production.ActivateRecipeResponse", {"Result": told}


def _not_supported(_endpoint: Endpoint, _options: CfxOptions, _body: Body) -> Answer:
    return _refused("This endpoint does not answer that request.")


def _refused(why: str) -> Answer:
    return "CFX.NotSupportedResponse", {"RequestResult": bodies.result(False, why, code=1)}


ANSWERS: dict[str, Callable[[Endpoint, CfxOptions, Body], Answer]] = {
    "CFX.AreYouThereRequest": _are_you_there,
    "CFX.WhoIsThereRequest": _who_is_there,
    "CFX.GetEndpointInformationRequest": _information,
    "CFX.Production.ActivateRecipeRequest": _activate_recipe,
}


# --- what is told ------------------------------------------------------------------------


def _take_over(endpoint: Endpoint, options: CfxOptions, told: Envelope) -> None:
    """Verification states of a repair station, for inspections of ours by their identity."""
    reviewer = User.objects.filter(username=options.reviewer).first() if options.reviewer else None
    if reviewer is None:
        log.info("cfx: verification states from %s are not taken over", told.source)
        return
    for said in _verified(told.body):
        try:
            verifications.take_over(
                reviewer,
                str(said.get("UniqueIdentifier") or ""),
                state=str(said.get("Verification") or ""),
                reason_code=_defect_code(said),
                comment=f"{told.source} by CFX endpoint {endpoint.name}",
                only=endpoint.product,
            )
        except UserError as error:
            log.warning("cfx: verification from %s refused: %s", told.source, error.message)
        except DataError as error:  # a NUL in a code, say: the others of the message count
            log.warning("cfx: verification from %s cannot be kept: %s", told.source, error)


def _verified(body: Body) -> list[dict[str, Any]]:
    """Every inspection in it, of every unit; whatever has another form is passed over."""
    units = [one for one in body.get("InspectedUnits") or [] if isinstance(one, dict)]
    inside = [one for unit in units for one in unit.get("Inspections") or []]
    return [one for one in inside if isinstance(one, dict)]


def _defect_code(said: dict[str, Any]) -> str:
    found = [one for one in said.get("DefectsFound") or [] if isinstance(one, dict)]
    return str(found[0].get("DefectCode") or "") if found else ""
