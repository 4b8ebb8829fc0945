"""How much of the bare work on a picture (hash, decode, thumbnail, write) an upload costs.

A batch of generated pictures goes through `services.uploads.receive_file`, with receipts,
audit and all, on the database of the demo (SQLite); the limit does only what no upload can
leave out. Ratio = time of the limit ÷ our time; 1 would be a receipt for free.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

PICTURES, SIZE, MUST = 150, 1024, 0.5


def make_pictures() -> list[bytes]:
    """JPEG pictures of about the weight that a camera gives, each different."""
    rng = np.random.default_rng(1)
    pictures = []
    for _ in range(PICTURES):
        coarse = rng.integers(0, 255, (SIZE // 8, SIZE // 8, 3), dtype=np.uint8)
        target = io.BytesIO()
        PIL.Image.fromarray(coarse).resize((SIZE, SIZE)).save(target, "JPEG", quality=90)
        pictures.append(target.getvalue())
    return pictures


def bare(pictures: list[bytes], folder: Path) -> float:
    """Seconds for hash, decode, 256-pixel thumbnail and two synced writes per picture."""
    start = time.perf_counter()
    for data in pictures:
        name = hashlib.sha256(data).hexdigest()
        picture = PIL.Image.open(io.BytesIO(data)).convert("RGB")
        with (folder / f"{name}.jpg").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        picture.thumbnail((256, 256))
        picture.save(folder / f"{name}.webp", "WEBP", quality=80)
    return time.perf_counter() - start


def ours(pictures: list[bytes]) -> float:
    """Seconds for the same pictures through the service that pages and API call."""
    from inspection.models import User
    from inspection.services import products, uploads

    user = User.objects.create_superuser("bench")
    product = products.create_product(user, code=f"BENCH-{time.time_ns()}", name="Benchmark")
    dataset = products.good_dataset(product.viewpoints.get())
    upload = uploads.open_upload(user, dataset=dataset, expected_files=len(pictures))
    start = time.perf_counter()
    for number, data in enumerate(pictures):
        uploads.receive_file(
            user,
            upload,
            client_key=str(number),
            name=f"{number}.jpg",
            stream=io.BytesIO(data),
            size=len(data),
        )
    seconds = time.perf_counter() - start
    if upload.receipts.filter(outcome="accepted").count() != len(pictures):
        sys.exit("not every picture was accepted: the figure would mean nothing")
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            KINTSUGI_VAR=folder, DJANGO_SETTINGS_MODULE="webapp.settings.dev", LOG_LEVEL="ERROR"
        )
        os.environ.pop("DATABASE_URL", None)
        os.environ.pop("REDIS_URL", None)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        pictures = make_pictures()
        spare = Path(folder) / "bare"
        spare.mkdir()
        limit, figure = bare(pictures, spare), ours(pictures)
    ratio = limit / figure
    print(f"{PICTURES} pictures of {SIZE}²: {figure:.2f} s, the bare work {limit:.2f} s")
    print(
        json.dumps(
            {
                "name": "uploads",
                "figure": round(PICTURES / figure, 1),
                "unit": "pictures/s",
                "limit": round(PICTURES / limit, 1),
                "ratio": round(ratio, 3),
                "must": MUST,
                "ok": ratio >= MUST,
            }
        )
    )


if __name__ == "__main__":
    main()
