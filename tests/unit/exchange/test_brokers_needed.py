"""A broker that is not installed skips its tests, but never where it must be there."""

import pytest

from tests.brokers import library, needed


def test_without_the_program_a_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINTSUGI_REQUIRE_BROKERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-broker is not installed"):
        needed("no-such-broker")
    with pytest.raises(pytest.skip.Exception, match="the extra x is not installed"):
        library("no_such_library", "x")


def test_where_brokers_are_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINTSUGI_REQUIRE_BROKERS", "1")
    with pytest.raises(pytest.fail.Exception, match="KINTSUGI_REQUIRE_BROKERS"):
        needed("no-such-broker")
    with pytest.raises(ModuleNotFoundError):
        library("no_such_library", "x")
