"""A refusal is one sentence with gaps, so that it can be said in the reader's language."""

import ast
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from inspection.errors import UserError, WrongState
from inspection.management.commands.makemessages import REFUSALS
from inspection.models import JobState
from inspection.services.images import store_image
from tests.unit.test_translation import catalogue

BASE = Path(settings.BASE_DIR)
SOURCES = [*sorted((BASE / "inspection").rglob("*.py")), BASE / "ml" / "data" / "pictures.py"]
MARKS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext"}
GAP = re.compile(r"\{\{|\}\}|\{\w+(?:![rs])?(?::[^{}]*)?\}")


def calls(names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    yield from ((path, call) for path, call in every_call() if called(call) in names)


@cache
def every_call() -> list[tuple[str, ast.Call]]:
    nodes = ((path, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text())))
    return [(str(p.relative_to(BASE)), node) for p, node in nodes if isinstance(node, ast.Call)]


def called(call: ast.Call) -> str:
    name = call.func
    return name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")


def refusals() -> Iterator[tuple[str, ast.Call, ast.expr]]:
    for path, call in calls(set(REFUSALS)):
        if len(call.args) > 1:
            yield path, call, call.args[1]


def is_built(said: ast.expr) -> bool:
    """By an f-string, by + or %, or by `"…".format()`."""
    parts = list(ast.walk(said))
    formatted = any(isinstance(part, ast.Call) and called(part) == "format" for part in parts)
    return formatted or any(isinstance(part, ast.JoinedStr | ast.BinOp) for part in parts)


def text_of(said: ast.expr) -> str:
    return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""


def sentences() -> set[str]:
    """What is marked for translation, and what is said by refusals without a mark."""
    marked = {text_of(call.args[0]) for _, call in calls(MARKS) if call.args}
    return (marked | {text_of(said) for _, _, said in refusals()}) - {""}


def gaps(sentence: str) -> list[str]:
    return sorted(GAP.findall(sentence))


def names_of(sentence: str) -> set[str]:
    return {re.split("[!:]", gap.strip("{}"))[0] for gap in gaps(sentence)} - {""}


def test_the_sources_were_read() -> None:
    assert len(list(refusals())) > 200
    assert len(sentences()) > 400


def test_no_refusal_is_put_together_where_it_is_raised() -> None:
    said = [(path, text) for path, _, text in refusals()]
    said += [(path, call.args[0]) for path, call in calls(MARKS) if call.args]
    assert [f"{path}:{text.lineno}" for path, text in said if is_built(text)] == []


def test_every_gap_of_a_refusal_has_its_value() -> None:
    wrong = {}
    for path, call, said in refusals():
        given = {str(value.arg) for value in call.keywords} - {"field"}
        if text_of(said) and given != names_of(text_of(said)):
            wrong[f"{path}:{call.lineno}"] = given ^ names_of(text_of(said))
    assert wrong == {}


def test_no_sentence_of_python_is_without_translation() -> None:
    known = catalogue()
    assert {sentence for sentence in sentences() if not known.get(sentence)} == set()


def test_translations_have_the_same_gaps() -> None:
    wrong = {k: v for k, v in catalogue().items() if k and v and gaps(k) != gaps(v)}
    assert wrong == {}


# --- the refusal itself ---------------------------------------------------------------------


def test_values_fill_the_gaps() -> None:
    refusal = WrongState("full", "{name} has {n:.1f} of {code}.", name="Ada", n=2, code="GB")
    assert refusal.message == str(refusal) == "Ada has 2.0 of GB."
    assert (refusal.code, refusal.field) == ("full", "")


def test_without_values_braces_stay() -> None:
    refusal = UserError("bad_pattern", "Every { needs its }: {serial}.", field="pattern")
    assert refusal.message == str(refusal) == "Every { needs its }: {serial}."


def test_braces_of_a_value_stay() -> None:
    assert UserError("x", "{name} is empty.", name="{lot}.png").message == "{lot}.png is empty."


def test_the_reader_sees_their_language_and_the_log_sees_english() -> None:
    with translation.override("zh-hant"):
        plain = WrongState("x", "{name} is disabled already.", name="ada")
        label = WrongState("x", "This job has ended already: {state}.", state=JobState.FAILED.label)
    assert (plain.message, str(plain)) == ("ada 已停用。", "ada is disabled already.")
    assert (label.message, str(label)) == (
        "這項工作已經結束：失敗。",
        "This job has ended already: Failed.",
    )


def test_what_is_wrong_with_a_picture_is_said_in_the_readers_language(db: None) -> None:
    with translation.override("zh-hant"), pytest.raises(UserError) as refused:
        store_image(None, "part 7.png", io.BytesIO(b"words"))
    assert refused.value.message == "part 7.png：內容是文字。請傳送 PNG、JPEG、TIFF 或 BMP。"
    assert str(refused.value) == ("part 7.png: The content is text. Send PNG, JPEG, TIFF or BMP.")


@pytest.mark.parametrize(
    "wrong", ["{nobody} 是空的。", "{name", "{0}", "{}", "{name.nothing}", "{name:d}", "{name[x]}"]
)
def test_a_wrong_translation_is_not_shown(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr("inspection.errors.gettext", lambda sentence: wrong)
    refusal = UserError("empty", "{name} is empty.", name="a.png")
    assert refusal.message == str(refusal) == "a.png is empty."
