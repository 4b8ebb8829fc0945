"""Where a webhook may go: the internet, and what an administrator listed; nothing else."""

import socket
import threading
from ipaddress import ip_address, ip_network

import pytest
from pytest_django import Settings

from inspection.services import webhook_addresses
from inspection.services.webhook_addresses import Forbidden, Unresolved, is_public, reachable
from webapp.networks import networks

NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255",  # noqa: S104
    "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "203.0.113.9", "192.0.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "fec0::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::a00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
    "2001::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The resolver gives these answers, one call after the other; returns the names asked."""
    asked, left = [], list(answers)

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(0, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(webhook_addresses.socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_the_internet_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    resolve_to(monkeypatch, [address])
    with pytest.raises(Forbidden, match=r"not public.*KINTSUGI_WEBHOOK_CIDRS"):
        reachable("evil.test", 443, seconds=1, plain=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_reached_by_https_only(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolve_to(monkeypatch, [address])
    assert is_public(ip_address(address))
    assert reachable("mes.test", 443, seconds=1, plain=False) == [str(ip_address(address))]
    with pytest.raises(Forbidden, match="https only"):
        reachable("mes.test", 80, seconds=1, plain=True)


def test_of_several_addresses_only_the_good_ones_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_to(monkeypatch, ["127.0.0.1", "8.8.8.8", "::1"])
    assert reachable("mixed.test", 443, seconds=1, plain=False) == ["8.8.8.8"]


def test_listed_networks_are_reached_in_any_spelling(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.WEBHOOK_ALLOWED_CIDRS = networks(["10.20.0.0/16", "fd00:7::/32"])
    resolve_to(
        monkeypatch, ["10.20.3.4", "::ffff:10.20.3.5", "10.21.0.1", "fd00:7::1", "fd00:8::1"]
    )
    found = reachable("mes.test", 80, seconds=1, plain=True)
    assert [ip_address(one) for one in found] == [
        ip_address(one) for one in ("10.20.3.4", "::ffff:10.20.3.5", "fd00:7::1")
    ]


def test_a_name_that_leads_nowhere_or_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(webhook_addresses.socket, "getaddrinfo", nowhere)
    with pytest.raises(Unresolved, match="cannot be resolved"):
        reachable("nowhere.test", 443, seconds=1, plain=False)
    end = threading.Event()

    def slow(*_: object, **__: object) -> None:
        end.wait(20)
        raise OSError

    monkeypatch.setattr(webhook_addresses.socket, "getaddrinfo", slow)
    with pytest.raises(Unresolved, match="not resolved within"):
        reachable("slow.test", 443, seconds=0.2, plain=False)
    end.set()


def test_a_bad_list_stops_the_start() -> None:
    from django.core.exceptions import ImproperlyConfigured

    assert networks(["10.0.0.0/8", ""]) == (ip_network("10.0.0.0/8"),)
    with pytest.raises(ImproperlyConfigured, match="KINTSUGI_WEBHOOK_CIDRS"):
        networks(["10.0.0.1/8"])
