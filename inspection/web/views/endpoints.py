"""Settings, endpoints: where events go, how each does, and what became of every event."""

import json
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from inspection.errors import NotAllowed, UserError
from inspection.ids import FIRST_YEAR, LAST_YEAR
from inspection.models import Delivery, Endpoint
from inspection.services import delivery_log, endpoints
from inspection.services.endpoint_kinds import KINDS
from inspection.web.access import Rights, SignedIn, explains
from inspection.web.endpoint_forms import EndpointForm

PAGE = 50
FILTERS = ("state", "type", "about", "since", "until", "after")


@require_safe
@explains
def index(request: SignedIn) -> HttpResponse:
    """Every endpoint that the person may change, with its state and what waits."""
    found = endpoints.visible(request.user)
    return _show(request, "index", {"standings": delivery_log.standings(found)})


@explains
@never_cache
@sensitive_variables()
def new(request: SignedIn, kind: str) -> HttpResponse:
    """A POST makes it; a webhook's page then shows the secret, once."""
    if kind not in KINDS:
        raise Http404("no such kind")
    form = EndpointForm(request.user, kind, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            endpoint, secret = endpoints.create(request.user, kind=kind, **form.given())
        except UserError as error:
            _refuse(form, error)
        else:
            if secret:
                return _page(request, endpoint, {"secret": secret, "made": True})
            return redirect("endpoint", endpoint.pk)
    return _show(request, "form", {"form": form, "kind": Endpoint.Kind(kind)})


@explains
@sensitive_variables()
def edit(request: SignedIn, key: UUID) -> HttpResponse:
    """Another name, address, choice of events, or options."""
    endpoint = _find(request, key)
    form = EndpointForm(request.user, endpoint.kind, request.POST or None, endpoint)
    if request.method == "POST" and form.is_valid():
        try:
            endpoints.edit(request.user, endpoint, **form.given())
        except UserError as error:
            _refuse(form, error)
        else:
            return redirect("endpoint", endpoint.pk)
    kind = Endpoint.Kind(endpoint.kind)
    name = Endpoint.objects.values_list("name", flat=True).get(pk=key)
    return _show(request, "form", {"form": form, "kind": kind, "endpoint": endpoint, "was": name})


def _refuse(form: EndpointForm, error: UserError) -> None:
    if isinstance(error, NotAllowed):
        raise error
    form.refuse(error.field, error.message)


@require_safe
@explains
def show(request: SignedIn, key: UUID) -> HttpResponse:
    """One endpoint and its log."""
    return _page(request, _find(request, key), {})


@require_POST
@explains
@never_cache
@sensitive_variables()
def act(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """Switch on or off, another secret, a test, everything given up once more, delete."""
    endpoint, user = _find(request, key), request.user
    if action == "rotate":
        return _page(request, endpoint, {"secret": endpoints.rotate_secret(user, endpoint)})
    if action == "delete":
        endpoints.delete(user, endpoint)
        return redirect("settings_endpoints")
    if action == "replay":
        if left := _replay(request, endpoint):
            return _page(request, endpoint, left)
    elif action == "enable":
        endpoints.enable(user, endpoint)
    elif action == "disable":
        endpoints.disable(user, endpoint)
    elif action == "test":
        delivery = endpoints.send_test(user, endpoint)
        return redirect("delivery", delivery.pk)
    else:
        raise Http404("no such action")
    return redirect("endpoint", endpoint.pk)


def _replay(request: SignedIn, endpoint: Endpoint) -> dict[str, Any]:
    """Send everything of some days once more; where there is more, what the form then says."""
    since, last = (_midnight(request.POST.get(name, "")) for name in ("since", "until"))
    if since is None:
        raise UserError("no_day", "Choose since when.", field="since")
    if last is None:
        raise UserError("no_day", "Choose until when.", field="until")
    # What a page offers ends when it was shown, so that pressing again goes on where it ended.
    until = min(_shown_at(request), last + timedelta(days=1))
    state = request.POST.get("state", Delivery.State.GIVEN_UP)
    count, more = endpoints.replay_many(
        request.user, endpoint, state=state, since=since, until=until
    )
    said = ngettext(
        "%(n)s event is on its way again.", "%(n)s events are on their way again.", count
    )
    messages.success(request, said % {"n": count})
    if not more:
        return {}
    messages.info(request, _("There are more: send again when these have arrived."))
    return {"state": state, "yesterday": since, "today": last, "now": until}


def _shown_at(request: SignedIn) -> datetime:
    """When the page with the form was shown; now where it does not say."""
    now = timezone.now()
    try:
        shown = datetime.fromisoformat(request.POST.get("shown_at", ""))
    except ValueError:
        return now
    return min(shown, now) if shown.tzinfo else now


def _page(request: SignedIn, endpoint: Endpoint, shown: dict[str, Any]) -> HttpResponse:
    asked = {name: request.GET.get(name, "").strip() for name in FILTERS}
    rows = _asked_for(delivery_log.deliveries_of(request.user).filter(endpoint=endpoint), asked)
    found = list(rows.order_by("-id")[: PAGE + 1])
    context = {
        "standing": delivery_log.standings([endpoint])[0],
        "endpoint": endpoint,
        "kind": Endpoint.Kind(endpoint.kind),
        "options": _options(endpoint),
        "rows": [(one, serial_of(one)) for one in found[:PAGE]],
        "more": str(found[PAGE - 1].pk) if len(found) > PAGE else "",
        "asked": asked,
        "narrowed": any(asked.values()),
        "states": Delivery.State.choices,
        "types": delivery_log.TYPES,
        "overlap": endpoints.OVERLAP_HOURS,
        "replayed": [(one.value, one.label) for one in endpoints.REPLAYED],
        "today": timezone.localdate(),
        "yesterday": timezone.localdate() - timedelta(days=1),
        "now": timezone.now(),
        "state": Delivery.State.GIVEN_UP,
        **shown,
    }
    return _show(request, "show", context)


def serial_of(delivery: Delivery) -> str:
    """The part that an event is about, as people know it; empty where it is about none."""
    payload = delivery.event.payload
    return str(payload.get("inspection", payload).get("serial_number", ""))


def _options(endpoint: Endpoint) -> list[tuple[Any, Any]]:
    """What the kind's own fields hold, in words; never a secret."""
    kept = [one for one in KINDS[endpoint.kind].options if one.form != "secret"]
    values = [(one.label, endpoint.options.get(one.name, one.default)) for one in kept]
    yes, no = _("yes"), _("no")
    return [(label, (yes if v else no) if isinstance(v, bool) else v) for label, v in values]


def _asked_for(rows: Any, asked: dict[str, str]) -> Any:
    until = _midnight(asked["until"])
    rows = delivery_log.narrowed(
        rows,
        state=asked["state"],
        type=asked["type"],
        about=asked["about"],
        since=_midnight(asked["since"]),
        until=until + timedelta(days=1) if until else None,
    )
    try:
        return rows.filter(pk__lt=UUID(asked["after"])) if asked["after"] else rows
    except ValueError:
        return rows.none()


@require_safe
@explains
def delivery(request: SignedIn, key: UUID) -> HttpResponse:
    """One delivery: every try, and what is sent."""
    found = _find_delivery(request, key)
    context = {
        "delivery": found,
        "endpoint": found.endpoint,
        "attempts": list(found.attempts.all()),
        "payload": json.dumps(found.event.payload, indent=2, ensure_ascii=False),
        "late": delivery_log.is_late(found),
    }
    return _show(request, "delivery", context)


@require_POST
@explains
def delivery_act(request: SignedIn, key: UUID, action: str) -> HttpResponse:
    """Once more, or now instead of later."""
    found = _find_delivery(request, key)
    if action == "replay":
        endpoints.replay(request.user, found)
    elif action == "now":
        endpoints.try_now(request.user, found)
    else:
        raise Http404("no such action")
    return redirect("delivery", found.pk)


def _find(request: SignedIn, key: UUID) -> Endpoint:
    found = endpoints.visible(request.user).filter(pk=key).first()
    if found is None:
        raise Http404("no such endpoint")
    return found


def _find_delivery(request: SignedIn, key: UUID) -> Delivery:
    found = delivery_log.deliveries_of(request.user).filter(pk=key).first()
    if found is None:
        raise Http404("no such delivery")
    return found


def _show(request: SignedIn, page: str, context: dict[str, Any]) -> HttpResponse:
    context = {**context, "rights": Rights(request.user, None), "kinds": Endpoint.Kind.choices}
    return render(request, f"endpoints/{page}.html", context)


def _midnight(day: str) -> datetime | None:
    """None for what is no day, or one that no clock of a plant shows."""
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        return None
    return timezone.make_aware(datetime.combine(found, time.min))
