"""`manage.py import_folder PRODUCT FOLDER`: pictures of good parts from a local folder."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inspection.errors import UserError
from inspection.models import Product, UploadReceipt, Viewpoint
from inspection.services import folder_import, products, uploads

EVERY = 100
REFUSED = UploadReceipt.Outcome.REFUSED


class Command(BaseCommand):
    help = "Add the pictures of a folder to the good parts of a product."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("product", help="part number")
        parser.add_argument("folder", type=Path)
        parser.add_argument("--viewpoint", default="main")

    def handle(self, *args: Any, product: str, folder: Path, viewpoint: str, **_: Any) -> None:
        dataset = products.good_dataset(_viewpoint(product, viewpoint))
        try:
            upload = folder_import.import_folder(
                None, dataset=dataset, folder=folder, progress=self._progress
            )
        except UserError as error:
            raise CommandError(error.message) from error
        for receipt in upload.receipts.filter(outcome=REFUSED):
            self.stderr.write(receipt.message)
        counts = uploads.upload_progress(upload)
        self.stdout.write(
            f"{counts['accepted']} added, {counts['duplicate']} already there, "
            f"{counts['refused']} refused."
        )

    def _progress(self, done: int, total: int) -> None:
        if done % EVERY == 0 or done == total:
            self.stdout.write(f"{done} of {total}")


def _viewpoint(product: str, code: str) -> Viewpoint:
    found = Viewpoint.objects.filter(product__code__iexact=product, code=code).first()
    if found:
        return found
    codes = ", ".join(Product.objects.values_list("code", flat=True)) or "none yet"
    raise CommandError(f"There is no product {product} with a viewpoint {code}. Products: {codes}.")
