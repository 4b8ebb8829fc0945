"""What scripts say comes from the server, in the reader's language, and from nowhere else."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils.functional import Promise
from django.utils.translation import trans_real

from inspection.web.phrases import PHRASES, phrases_script
from tests.unit.web.conftest import World

SCRIPTS = sorted((settings.BASE_DIR / "webapp" / "static" / "js").glob("*.js"))
STYLES = sorted((settings.BASE_DIR / "webapp" / "static").rglob("*.css"))
COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'])//[^\n]*", re.DOTALL)
TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')
FILLED = re.compile(r"\$\{[^{}]*\}")
SAID = re.compile(r"say\(([^()]*?)(?:, \{|\)|, \w+\))")
SELECTOR = re.compile(r"[#.\[\]=*:]")


def texts(script: Path) -> list[str]:
    """What stands in quotes, without what is filled in."""
    code = COMMENT.sub("", script.read_text())
    return [FILLED.sub("", plain or filled) for plain, filled in TEXT.findall(code)]


def classes() -> set[str]:
    return {name for file in STYLES for name in re.findall(r"\.([\w-]+)", file.read_text())}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_no_script_holds_a_sentence_of_its_own(script: Path) -> None:
    known = classes()
    found = [
        text
        for text in texts(script)
        if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", text)
        and not SELECTOR.search(text)
        and not all(part in known or "-" in part or part[0].isdigit() for part in text.split())
    ]
    assert found == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_no_script_shows_a_word_of_its_own(script: Path) -> None:
    """A text that begins with a capital is a key, a header or a tag; none of them is shown."""
    names = {"ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Enter", "Escape", "DIALOG"}
    names |= {"Accept", "Files", "Delete", "Backspace", "Location"}
    names |= {"GET", "HEAD", "PATCH", "POST"}
    found = [text for text in texts(script) if re.fullmatch(r"[A-Z][A-Za-z]+\.?", text)]
    assert set(found) <= names


def test_scripts_and_phrases_agree() -> None:
    said: set[str] = set()
    for script in SCRIPTS:
        for call in SAID.findall(script.read_text()):
            said |= set(re.findall(r'"(\w+)"', call))
    assert said == set(PHRASES)


def test_every_page_brings_the_phrases_in_the_readers_language(
    world: World, engineer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(isinstance(phrase, Promise) for phrase in PHRASES.values())
    chinese = trans_real.translation("zh-hant")
    monkeypatch.setitem(chinese._catalog._catalogs[0], "Nothing is running.", "這裡很安靜。")
    phrases_script.cache_clear()  # what an earlier test put together
    page = engineer.get("/products/", headers={"Accept-Language": "zh-hant"}).content.decode()
    block = re.search(r'<script id="phrases" type="application/json">(.*?)</script>', page)
    assert block
    phrases = json.loads(block[1])
    assert set(phrases) == set(PHRASES)
    assert phrases["nothing_runs"] == "這裡很安靜。"
    phrases_script.cache_clear()
