"""manage.py install_weights FILE… [--sha256 HEX]"""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inspection.errors import UserError
from inspection.services import weights


class Command(BaseCommand):
    help = "Check files with pre-trained weights and install them (nothing is downloaded)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument(
            "--sha256", default="", help="what the source of the file publishes; one FILE only"
        )

    def handle(self, *args: Any, files: list[Path], sha256: str, **options: Any) -> None:
        if sha256 and len(files) > 1:
            raise CommandError("--sha256 belongs to one file; install the others separately.")
        for file in files:
            try:
                done = weights.install(file, sha256)
            except UserError as refusal:
                raise CommandError(refusal.message) from refusal
            self.stdout.write(f"Installed {done.file_name} ({done.network}, SHA-256 {done.sha256})")
