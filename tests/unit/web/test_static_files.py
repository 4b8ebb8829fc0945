"""How the static files are packed: quickly where somebody waits for it, small in an image."""

from pathlib import Path

import pytest
from django.conf import settings as configured
from django.core.management import call_command
from pytest_django import Settings

LONG = "// a line of many\n" * 200
IMPORT = "import { a } from './other.js';\n"


@pytest.fixture
def collected(settings: Settings, tmp_path: Path) -> Path:
    """Where `collectstatic` puts two scripts, a source map and a picture."""
    source = tmp_path / "source" / "js"
    source.mkdir(parents=True)
    for name, text in (
        ("one.js", IMPORT),
        ("other.js", "export const a = 1;\n"),
        ("one.js.map", ""),
    ):
        (source / name).write_text(text + LONG)
    settings.STATICFILES_DIRS = [tmp_path / "source"]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "collected"
    settings.STORAGES = {
        **configured.STORAGES,
        "staticfiles": {"BACKEND": "webapp.static_storage.StaticStorage"},
    }
    return tmp_path / "collected"


@pytest.mark.parametrize(("brotli", "packed"), [(False, {".gz"}), (True, {".gz", ".br"})])
def test_only_an_image_is_packed_by_brotli(
    settings: Settings, collected: Path, brotli: bool, packed: set[str]
) -> None:
    settings.STATIC_BROTLI = brotli
    call_command("collectstatic", interactive=False, verbosity=0)
    scripts = {one.name.split(".", 1)[0] for one in collected.glob("js/*.js")}
    assert scripts == {"one", "other"}
    assert {one.suffix for one in collected.glob("js/*.js.*")} == packed | {".map"}
    assert not list(collected.glob("js/*.map.*")), "maps are for debuggers, who can wait"
    hashed = next(one for one in collected.glob("js/one.*.js"))
    assert "./other.js" not in hashed.read_text(), "a script imports the hashed copy"
