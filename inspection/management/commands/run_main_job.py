"""`manage.py run_main_job`: import → train → score → verdicts on demo pictures or a folder.

`manage.py demo` runs it beside the workers; alone it needs workers that run already.
"""

import hashlib
import json
import sys
import traceback
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from inspection.errors import UserError
from inspection.management.demo import figures, options
from inspection.management.demo.main_job import MainJob, MainJobFailed, first_verdict_at
from inspection.management.demo.notebook import Notebook
from inspection.management.demo.source import Counts, Source, demo, from_folder
from inspection.management.demo.terminal import Terminal, duration
from inspection.models import Product
from webapp.local.problems import CannotStart


class Command(BaseCommand):
    help = "Import, train, score and judge pictures, as the pages would."

    def add_arguments(self, parser: ArgumentParser) -> None:
        options.add_options(parser)
        parser.add_argument("--outcome", type=Path, help="a file for the figures or the failure")

    def handle(self, *args: Any, outcome: Path | None = None, **given: Any) -> None:
        try:
            found = _run(given, Terminal())
        except (MainJobFailed, UserError, CannotStart) as error:
            _keep(outcome, {"failed": str(error)})
            sys.exit(1)
        except Exception as error:
            traceback.print_exc()
            _keep(outcome, {"failed": f"{type(error).__name__}: {error}"})
            sys.exit(1)
        _keep(outcome, {"figures": found})


def _run(given: dict[str, Any], terminal: Terminal) -> dict[str, Any] | None:
    """The figures; None when there was nothing to do."""
    began = timezone.now()
    source, notebook = _opened(from_folder(given["data"]) if given["data"] else demo())
    if given["once"] and notebook.done:
        notebook.begin_again()
    if notebook.done or not (given["once"] or given["data"] or _is_ours_to_seed(notebook)):
        return None
    counts = Counts(*given["pictures"]) if given["pictures"] else Counts()
    job = MainJob(
        source=source,
        notebook=notebook,
        terminal=terminal,
        preset=given["preset"],
        budget_minutes=options.budget(given),
        steps=given["steps"],
        counts=counts,
    )
    run, batch = job.do()
    terminal.say()
    for line in figures.report(figures.pictures_of(batch), job.folder):
        terminal.say(line)
    first = first_verdict_at(batch) if batch else None
    if first and first > began:
        terminal.say(f"First verdict after {duration((first - began).total_seconds())}")
    return figures.summary(run, batch, notebook, given["install_seconds"])


def _opened(source: Source) -> tuple[Source, Notebook]:
    """The source and its notebook; a folder of the same name elsewhere gets a code of its own."""
    folder = str(source.folder or "")
    notebook = _notebook(source.code)
    taken = notebook.folder != folder if notebook.product else _has_product(source.code)
    if taken:
        mark = hashlib.sha256(folder.encode()).hexdigest()[:4].upper()
        source = Source(f"{source.code}-{mark}", source.name, source.folder)
        notebook = _notebook(source.code)
    notebook.folder = folder
    return source, notebook


def _notebook(code: str) -> Notebook:
    """Of this database: with another one (or an emptied one) the work begins at its beginning."""
    file = Path(settings.VAR_DIR) / "demo" / f"{code}.json"
    notebook = Notebook.open(file, code)
    if notebook.product and not Product.objects.filter(pk=notebook.product).exists():
        return Notebook(file=file, code=code)
    return notebook


def _has_product(code: str) -> bool:
    return Product.objects.filter(code__iexact=code).exists()


def _is_ours_to_seed(notebook: Notebook) -> bool:
    """On the first start, or when an earlier one was interrupted."""
    return bool(notebook.product) or not Product.objects.exists()


def _keep(outcome: Path | None, content: dict[str, Any]) -> None:
    if outcome is None:
        sys.stdout.write(json.dumps(content.get("figures") or content) + "\n")
        return
    outcome.write_text(json.dumps(content))
