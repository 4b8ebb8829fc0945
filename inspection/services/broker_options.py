"""The options of IPC-CFX and MQTT endpoints: fields of the form, and what could never work."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from inspection.errors import UserError

from .endpoint_options import Option

HANDLE = re.compile(r"[\w-]+(\.[\w-]+){2,}")
PREFIX = re.compile(r"[^/+#\s]+(/[^/+#\s]+)*")
CLIENT_ID = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
LONGEST_HEARTBEAT_S = 300  # IPC-2591: at least every five minutes

_USER = Option("user", _("User"), _("Of the broker."))
_PASSWORD = Option("password", _("Password"), form="secret")
_CA_FILE = Option(
    "ca_file",
    _("File of the broker's certificate authority"),
    _("On this server, PEM. Empty: those that the system trusts."),
)

CFX_OPTIONS = (
    Option(
        "handle",
        _("CFX handle"),
        _("Vendor, model and serial number, unique in the plant: Kintsugi.Inspection.LINE1"),
        required=True,
    ),
    Option(
        "address",
        _("Where messages go"),
        _("A queue or exchange of the broker: /exchange/cfx/kintsugi"),
        required=True,
    ),
    Option("target", _("Handle of the receiver"), _("Empty: everybody.")),
    Option(
        "request_address",
        _("Where requests come from"),
        _("A queue of the broker: /amq/queue/kintsugi.requests. Empty: none are answered."),
    ),
    Option(
        "reply_address",
        _("Where answers go"),
        _("{handle} stands for who asked."),
        default="/amq/queue/{handle}",
    ),
    Option("heartbeat_s", _("Seconds between heartbeats"), form="number", default=60),
    Option(
        "may_activate",
        _("ActivateRecipe may choose which model judges"),
        _("Among those that judge now or judged before."),
        form="switch",
        default=False,
    ),
    Option(
        "reviewer",
        _("User who records what a repair station verified"),
        _("Empty: verification states that come in are not taken over."),
    ),
    Option("virtual_host", _("Virtual host"), _("vhost:name in RabbitMQ; empty: the default.")),
    _USER,
    _PASSWORD,
    _CA_FILE,
)

MQTT_OPTIONS = (
    Option(
        "prefix",
        _("Topic prefix"),
        _("The first levels of every topic."),
        default="kintsugi",
        required=True,
    ),
    Option("client_id", _("Client identifier"), _("Unique at the broker. Empty: made for you.")),
    Option("keepalive_s", _("Seconds until silence counts as lost"), form="number", default=30),
    _USER,
    _PASSWORD,
    _CA_FILE,
)


def check_cfx(_address: str, options: Mapping[str, Any]) -> None:
    if not HANDLE.fullmatch(options["handle"]):
        remedy = gettext_noop("Write Vendor.Model.SerialNumber: letters, digits, _ and -.")
        raise _wrong("handle", remedy)
    _check_number(options, "heartbeat_s", 1, LONGEST_HEARTBEAT_S)
    _check_file(options)


def check_mqtt(_address: str, options: Mapping[str, Any]) -> None:
    if not PREFIX.fullmatch(options["prefix"]):
        remedy = gettext_noop("Write levels between slashes, without spaces, + and #.")
        raise _wrong("prefix", remedy)
    if not CLIENT_ID.fullmatch(options["client_id"]):
        raise _wrong("client_id", gettext_noop("At most 64 letters, digits and . _ : - signs."))
    _check_number(options, "keepalive_s", 5, 600)
    _check_file(options)


def _check_number(options: Mapping[str, Any], name: str, least: int, most: int) -> None:
    if not least <= options[name] <= most:
        remedy = gettext_noop("Write a number from {least} to {most}.")
        raise _wrong(name, remedy, least=least, most=most)


def _check_file(options: Mapping[str, Any]) -> None:
    if options["ca_file"] and not options["ca_file"].startswith("/"):
        raise _wrong("ca_file", gettext_noop("Write the whole path of the file, from / on."))


def _wrong(name: str, remedy: str, **values: object) -> UserError:
    return UserError("bad_option", remedy, field=name, **values)
