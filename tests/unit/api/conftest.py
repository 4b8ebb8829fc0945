"""What tests of the API share."""

import pytest


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Every test begins with its minute's requests unspent."""
    from django.core.cache import cache

    cache.clear()
