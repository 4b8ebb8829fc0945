"""Every sentence of the pages has its translation, and the compiled catalogue is the newest."""

import ast
import gettext
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise

from inspection.errors import UserError
from inspection.models import ReviewState, User
from inspection.services import intakes, products, report_schedules
from inspection.web import words, words_audit
from inspection.web.phrases import PHRASES
from tests.factories.user import PASSWORD, UserFactory
from tests.unit.web.conftest import World, signed_in, world

__all__ = ["world"]

FOLDER = Path(settings.BASE_DIR) / "locale" / "zh_Hant" / "LC_MESSAGES"
TEMPLATES = [
    path
    for folder in ("webapp/templates", "inspection/web/templates")
    for path in sorted((Path(settings.BASE_DIR) / folder).rglob("*.html"))
]
TEXTS = (
    r'msgid ((?:"(?:[^"\\]|\\.)*"\n)+)(?:msgid_plural [^\n]*\n)?msgstr(?:\[0\])? ((?:"[^\n]*"\n?)+)'
)
# {% translate "…" %} and {% blocktranslate … %}…{% endblocktranslate %}
SIMPLE = re.compile(r"""\{% translate (?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
BLOCK = re.compile(
    r"\{% blocktranslate([^%]*)%\}(.*?)\{% (?:plural|endblocktranslate) %\}", re.DOTALL
)
VARIABLE = re.compile(r"\{\{ *(\w+)[^}]*\}\}")


def joined(quoted: str) -> str:
    return "".join(ast.literal_eval(line) for line in quoted.strip().splitlines())


def catalogue() -> dict[str, str]:
    text = (FOLDER / "django.po").read_text()
    return {joined(msgid): joined(msgstr) for msgid, msgstr in re.findall(TEXTS, text)}


def said_by(template: Path) -> set[str]:
    text = template.read_text()
    found = {(plain or single).replace("%", "%%") for plain, single in SIMPLE.findall(text)}
    for options, words_ in BLOCK.findall(text):
        sentence = words_.replace("%", "%%") if VARIABLE.search(words_) else words_
        sentence = VARIABLE.sub(r"%(\1)s", sentence)
        trimmed = " ".join(sentence.split("\n")) if "trimmed" in options else sentence
        found.add(trimmed)
    return found - {""}


def test_the_templates_were_read() -> None:
    assert sum(len(said_by(template)) for template in TEMPLATES) > 500


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_sentence_of_a_template_is_without_translation(template: Path) -> None:
    known = catalogue()
    assert {text for text in said_by(template) if not known.get(text)} == set()


def test_phrases_of_scripts_and_words_of_pages_are_translated() -> None:
    known = catalogue()
    with translation.override("en"):
        spoken = {str(phrase) for phrase in PHRASES.values()}
        spoken |= {str(state.label) for state in ReviewState}
        signs = (*words.VERDICTS, *words.CALLS, *words.JOB_SIGNS.values())
        spoken |= {str(sign.word) for sign in signs}
        spoken |= {str(word) for word in words.REVIEW_WORDS.values()}
        spoken |= {str(word) for pair in words.METHODS.values() for word in pair}
    assert {text for text in spoken if not known.get(text)} == set()


def test_no_sentence_is_left_untranslated() -> None:
    assert {k for k, v in catalogue().items() if not v} == set()


def test_the_compiled_catalogue_says_the_same() -> None:
    """`make messages` compiles it; it is kept here, because a bare machine has no msgfmt."""
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stale = {k for k, v in catalogue().items() if k and v and compiled.gettext(k) != v}
    plural = {k for k in stale if compiled.ngettext(k, k, 1) == catalogue()[k]}
    assert stale - plural == set()


def test_a_refusal_speaks_the_readers_language() -> None:
    with translation.override("zh-hant"):
        assert UserError("x", "This model judges already.").message == "這個模型已經在判定了。"
        assert str(UserError("x", "This model judges already.")) == "This model judges already."


# --- what workers and the audit trail say ---------------------------------------------------

SOURCES = sorted((Path(settings.BASE_DIR) / "inspection").rglob("*.py"))
RECORDING = ("record", "_write_down", "_change")  # services that write the audit trail
TELLING = ("_seen", "_told", "_alphas", "_plain")  # what they write of a thing
ACTION, NAME = re.compile(r"[a-z_]+\.[a-z_]+"), re.compile(r"[a-z][a-z0-9_]*")


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def functions(*names: str) -> list[tuple[ast.FunctionDef, list[ast.Call]]]:
    """Functions of the services that write the trail, with their calls of one of `names`."""
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        if path.parent.name != "services" or not any(called(n) in names for n in ast.walk(tree)):
            continue
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
                found.append((function, [n for n in calls if called(n) in names]))
    return found


def constants(node: ast.AST) -> set[str]:
    return {
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def recorded() -> set[str]:
    """Every action that a service writes into the audit trail."""
    found: set[str] = set()
    for function, calls in functions(*RECORDING):
        chosen = [n for n in ast.walk(function) if isinstance(n, ast.Assign) and calls]
        found |= set().union(*(constants(node) for node in (*calls, *chosen)))
    return {word for word in found if ACTION.fullmatch(word)}


def names_in(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Dict):
        return set().union(*(constants(key) for key in node.keys if key))
    return constants(node) if isinstance(node, ast.Tuple) else set()


def fields() -> set[str]:
    """Every value that a service names there, as far as the source says it."""
    found = {*products.FIELDS, *intakes.FIELDS, *report_schedules.FIELDS}
    given = {"before", "after", "now", "settings_used"}  # what `record` is given
    for function, calls in functions(*RECORDING):
        told = [k.value for call in calls for k in call.keywords if k.arg in given]
        for node in ast.walk(function):
            if function.name in TELLING and isinstance(node, ast.Dict | ast.Tuple):
                told.append(node)
            if calls and isinstance(node, ast.Assign):
                told += [node.value for target in node.targets if ast.unparse(target) in given]
        found |= set().union(*map(names_in, told))
    return {name for name in found if NAME.fullmatch(name)}


NO_FIELDS = {"actor", "thing", "product", "before", "after"}  # of `record` itself


def test_every_action_and_field_of_the_audit_trail_has_a_name() -> None:
    assert len(recorded()) > 60
    assert recorded() - set(words_audit.ACTIONS) == set()
    assert len(fields()) > 60
    assert fields() - set(words_audit.FIELDS) - NO_FIELDS == set()


def test_what_has_no_name_is_shown_as_it_is_kept() -> None:
    with translation.override("zh-hant"):
        assert words_audit.action_word("model.rolled_back") == "已回到前一個模型"
        assert words_audit.action_word("model.of_an_older_release") == "model.of_an_older_release"
        assert words_audit.field_word("keep_open") == "保持開啟"
        assert words_audit.field_word("part_7.png") == "part_7.png"


def test_names_of_the_audit_trail_are_translated() -> None:
    known = catalogue()
    with translation.override("en"):
        tables = (words_audit.TYPES, words_audit.ACTIONS, words_audit.FIELDS)
        spoken = {str(word) for table in tables for word in table.values()}
    assert {text for text in spoken if not known.get(text)} == set()
    assert all(isinstance(word, Promise) for table in tables for word in table.values())


def test_the_audit_trail_speaks_the_readers_language(world: World) -> None:
    admin = UserFactory(role="administrator", language="zh-hant")
    products.edit_product(admin, world.product, description="新")
    page = signed_in(admin).get(reverse("settings_audit")).content.decode()
    for said in ("已變更產品", "說明", "流出不良", "監看資料夾"):
        assert said in page, said
    for english in ("Product edited", "description", "Escape", "Watched folder"):
        assert english not in page, english


def test_nobody_is_told_in_the_language_of_a_worker() -> None:
    """What `notify` is given must be lazy: it is said in the language of each who is told."""
    eager = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        if any(called(node) == "notify" for node in ast.walk(tree)):
            imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
            names = {one.name for n in imports for one in n.names}
            eager[path.name] = names & {"gettext", "ngettext", "pgettext"}
    assert len(eager) > 5
    assert {name: found for name, found in eager.items() if found} == {}


def test_no_worker_puts_a_sentence_together_for_the_list_of_jobs() -> None:
    """It is pushed to readers of every language: the page says it."""
    source = Path(settings.BASE_DIR) / "inspection" / "services" / "announce.py"
    built = [n for n in ast.walk(ast.parse(source.read_text())) if isinstance(n, ast.JoinedStr)]
    assert built
    assert [ast.unparse(n) for n in built if any(" " in part for part in constants(n))] == []


# --- choosing it ----------------------------------------------------------------------------


@pytest.fixture
def user(db: None) -> User:
    return UserFactory(role="engineer")


def choose(client: Client, language: str) -> int:
    return client.post(reverse("language"), {"language": language}).status_code


def test_the_language_stays_with_the_account(user: User) -> None:
    assert choose(signed_in(user), "zh-hant") == 302
    page = signed_in(user).get("/jobs/", headers={"Accept-Language": "en"}).content.decode()
    assert '<html lang="zh-hant">' in page
    assert "css/zh-hant.css" in page
    assert choose(signed_in(user), "en") == 302
    page = signed_in(user).get("/jobs/").content.decode()
    assert '<html lang="en">' in page
    assert "css/zh-hant.css" not in page


def test_it_can_be_chosen_before_signing_in(client: Client, db: None) -> None:
    assert choose(client, "zh-hant") == 302
    page = client.get(reverse("account_login")).content.decode()
    assert "登入" in page
    assert PASSWORD not in page


def test_the_browser_is_heard(client: Client, db: None) -> None:
    page = client.get(reverse("account_login"), headers={"Accept-Language": "zh-TW,zh;q=0.9"})
    assert '<html lang="zh-hant">' in page.content.decode()


def test_a_language_that_is_not_here_is_not_found(client: Client, db: None) -> None:
    assert choose(client, "xx") == 404
    assert choose(client, "../en") == 404


class Words(HTMLParser):
    """What is read on a page, outside of scripts and figures."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._silent += tag in ("script", "code", "kbd", "style", "svg")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "code", "kbd", "style", "svg")

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.said.append(data.strip())


# Names, units and what people and factories typed are the same in every language.
SAME = re.compile(
    r"Kintsugi|English|GB|MB|PN-|Relay board|Batch \d|user-|Main view|part-\d|Python|Django"
)


def test_pages_have_no_english_sentence_left(world: World, user: User) -> None:
    choose(signed_in(user), "zh-hant")
    client = signed_in(user)
    left: dict[str, list[str]] = {}
    for name, address in world.pages().items():
        answer = client.get(address)
        if "text/html" not in answer.headers.get("Content-Type", ""):
            continue
        reader = Words()
        reader.feed(answer.content.decode())
        english = [w for w in reader.said if re.search(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}", w)]
        left[name] = [w for w in english if not SAME.search(w) and "looks unlike" not in w]
    assert {name: found for name, found in left.items() if found} == {}


@pytest.mark.parametrize(
    ("language", "how", "said"),
    [
        ("en", "j M Y, H:i", "5 Jan 2026, 06:00"),
        ("zh-hant", "j M Y, H:i", "2026年1月5日 06:00"),
        ("zh-hant", "D j M", "1月5日 星期一"),
        ("zh-hant", "Y-m-d", "2026-01-05"),
    ],
)
def test_dates_are_written_in_the_readers_order(language: str, how: str, said: str) -> None:
    moment = datetime(2026, 1, 5, 6, tzinfo=UTC)
    with translation.override(language):
        page = Template("{{ moment|date:how }}").render(Context({"moment": moment, "how": how}))
    assert page == said
