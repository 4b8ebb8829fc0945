"""How long the PDF of a lot with 200 defects takes, from the queued row to the kept file.

Pictures, heatmaps, reviews and receipts are real rows and files; the database is that of the
demo (SQLite). The limit is 60 s. Ratio = limit ÷ our time; 1 would be just in time.
"""

import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for tests.factories

DEFECTS, GOOD, LIMIT_S = 200, 800, 60.0
SIDE = 256


def encoded(picture: Any, kind: str) -> bytes:
    target = io.BytesIO()
    picture.save(target, kind)
    return target.getvalue()


def pictures() -> dict[str, bytes]:
    """A part and its heatmap, as scoring keeps them."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    part = Image.fromarray(coarse).resize((SIDE, SIDE))
    heat = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    heat.paste((250, 180, 20, 200), (60, 60, 120, 120))
    return {"view": encoded(part, "WEBP"), "heatmap": encoded(heat, "PNG")}


def fill() -> Any:
    """A lot of GOOD passed and DEFECTS failed parts, half of these reviewed."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from inspection.models import Disposition, Lot, ReviewState, User, Verdict
    from inspection.services import reviews
    from tests.factories.batch import BatchFactory
    from tests.factories.inspection import ImageResultFactory, InspectionFactory

    user = User.objects.create_superuser("bench")
    kept = pictures()
    batch = BatchFactory()
    lot = Lot.objects.create(product=batch.viewpoint.product, code="L-1")
    for number in range(GOOD + DEFECTS):
        failed = number < DEFECTS
        inspection = InspectionFactory(
            batch=batch,
            lot=lot,
            verdict=Verdict.FAILED if failed else Verdict.PASSED,
            disposition=Disposition.AUTO,
        )
        keys = {}
        if failed:
            for name, content in kept.items():
                key = f"results/bench/{number}/{name}"
                keys[f"{name}_key"] = default_storage.save(key, ContentFile(content))
        ImageResultFactory(picture__inspection=inspection, **keys)
        if failed and number % 2:
            reviews.record_review(user, inspection, state=ReviewState.CONFIRMED)
    return lot, user


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            KINTSUGI_VAR=folder,
            DJANGO_SETTINGS_MODULE="webapp.settings.dev",
            LOG_LEVEL="CRITICAL",
            KINTSUGI_MIN_FREE_GB="0.1",
        )
        os.environ.pop("DATABASE_URL", None)
        os.environ.pop("REDIS_URL", None)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        from inspection.models import JobState, ReportKind
        from inspection.services import report_job, reports

        lot, user = fill()
        report = reports.request_report(user, lot.product, kind=ReportKind.LOT_PDF, lot=lot)
        start = time.perf_counter()
        report_job.make(report.pk)
        seconds = time.perf_counter() - start
        report.refresh_from_db()
        done = report.state == JobState.DONE
        print(f"{report.state}: {DEFECTS} defects of {GOOD + DEFECTS}, {report.size_bytes} bytes")
    ratio = LIMIT_S / seconds
    print(
        json.dumps(
            {
                "name": "lot report, 200 defects",
                "figure": round(seconds, 1),
                "unit": "s",
                "limit": LIMIT_S,
                "ratio": round(ratio, 2),
                "must": 1.0,
                "ok": done and ratio >= 1.0,
            }
        )
    )


if __name__ == "__main__":
    main()
