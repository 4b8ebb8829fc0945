"""A strict policy on every page, and templates that need no exception from it."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from tests.unit.web.conftest import World

TEMPLATES = [
    file
    for folder in settings.TEMPLATES[0]["DIRS"]
    for file in Path(folder).rglob("*.html")
    if file.parent.name != "pdf"  # printed on the server, never sent to a browser
]
SCRIPTS = sorted((settings.BASE_DIR / "webapp" / "static" / "js").glob("*.js"))
INLINE = re.compile(
    r"\sstyle\s*=|<style|<script(?![^>]*\ssrc=)|\son[a-z]+=[\"']|hx-on|javascript:", re.IGNORECASE
)
ELSEWHERE = re.compile(r"(?:src|href|action)=[\"'](?:https?:)?//", re.IGNORECASE)


def test_the_policy_is_on_every_answer(world: World, engineer: Client) -> None:
    for address in ("/products/", *world.pages().values()):
        policy = engineer.get(address)["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in f"{policy};"
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_templates_hold_nothing_inline_and_nothing_from_elsewhere(file: Path) -> None:
    text = file.read_text()
    assert not INLINE.search(text), INLINE.search(text)
    assert not ELSEWHERE.search(text), ELSEWHERE.search(text)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_build_no_html_from_text_and_evaluate_nothing(file: Path) -> None:
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", file.read_text())


def test_names_that_look_like_html_stay_text(world: World, engineer: Client) -> None:
    world.product.name = "<script>alert(1)</script>"
    world.product.save()
    world.item.file_name = '"><img src=x onerror=alert(1)>'
    world.item.save()
    for address in ("/products/", *world.pages().values()):
        page = engineer.get(address).content.decode()
        assert "<script>alert" not in page, address
        assert "<img src=x" not in page, address
