"""What a verdict that somebody waits for costs beyond its networks, while all else is at work.

Real processes on this machine: web, scoring worker, training worker, Redis. A batch is scored and a
training run goes on (niced, one thread) while units are submitted one after the other, picture and
all, with `Prefer: wait=3`. Total: as the client's clock has it. Forward: the time that the networks
of that very unit were at work in the scoring process, under the same load. The figure is the 95th
percentile of (total − forward) ÷ forward: it must be at most 1, and no verdict may take longer than
3 s. VERDICT_UNITS=60 is the short form.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UNITS = int(os.environ.get("VERDICT_UNITS", "500"))
PRESET = os.environ.get("VERDICT_PRESET", "compact")
BATCH = 20 * UNITS
WAIT_S, MUST, PORT = 3, 1.0, 18765
GOOD = 120
VAR = ROOT / "var" / "bench" / "verdict"


def settings() -> None:
    """A database and folders of our own."""
    own = VAR / f"house-{os.getpid()}"
    os.environ.update(
        KINTSUGI_VAR=str(own),
        DJANGO_SETTINGS_MODULE="webapp.settings.dev",
        LOG_LEVEL="WARNING",
        KINTSUGI_TRAINER_THREADS="1",
        KINTSUGI_API_RATE="1000000",
        KINTSUGI_MIN_FREE_GB="0.1",
        VERDICT_PROBE=str(own / "forward.jsonl"),
    )
    if "VERDICT_DATABASE_URL" in os.environ:
        os.environ["DATABASE_URL"] = os.environ["VERDICT_DATABASE_URL"]
    else:
        os.environ.pop("DATABASE_URL", None)
    os.environ.pop("REDIS_URL", None)
    sys.path.insert(0, str(ROOT))


def prepared() -> tuple[Path, Path]:
    """Demo pictures, and a model trained on them; kept for the next time."""
    pictures, model = VAR / "pictures", VAR / f"model-{PRESET}"
    if not (pictures / "test" / "good").is_dir():
        from inspection.management.demo.source import Counts, make_demo_pictures

        make_demo_pictures(pictures, Counts(train=GOOD, good=60, per_kind=1))
    if not (model / "model" / "manifest.json").is_file():
        command = [sys.executable, "-m", "ml", "train", "--data", str(pictures / "train" / "good")]
        command += ["--out", str(model), "--preset", PRESET, "--steps", "20", "--weights", "none"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (model / "state.json").write_text('{"train": [], "calibration": []}')
    return pictures, model


def plant(pictures: Path, model: Path) -> tuple[Any, str]:
    """The product with that model judging, and an engineer's API key."""
    from inspection.jobs.claim import claim
    from inspection.models import SCOPES, TrainingRun, User
    from inspection.services import api_keys, folder_import, models, products, training

    user = User.objects.create_superuser("mes")
    viewpoint = products.create_product(user, code="BENCH", name="Benchmark").viewpoints.get()
    good = pictures / "train" / "good"
    folder_import.import_folder(user, dataset=products.good_dataset(viewpoint), folder=good)
    run = training.start_run(user, viewpoint, preset=PRESET, budget_minutes=1)
    held = claim(TrainingRun, run.pk)
    assert held is not None
    version = training.finish_run(held, model)
    version.refresh_from_db()
    if version.state != version.State.ACTIVE:
        models.promote(user, version, "the benchmark")
    return viewpoint, api_keys.create_key(user, name="MES", scopes=SCOPES)[1]


def load(viewpoint: Any, pictures: Path) -> Any:
    """A batch and a training run that last longer than the measurement."""
    from inspection.models import Image, User
    from inspection.services import batches, training

    user = User.objects.get()
    batch = batches.open_batch(user, viewpoint, name="Load", purpose="trial")
    known = list(Image.objects.all()[:GOOD])
    for number in range(BATCH):
        batches.add_image(batch, known[number % len(known)], f"{number}.png")
    batches.seal(user, batch)
    training.start_run(user, viewpoint, preset=PRESET, budget_minutes=240, vetting="keep")
    return batch


def start(house: Any) -> None:
    from webapp.local import redis, services

    house.start(redis.server(Path(os.environ["KINTSUGI_VAR"])))
    house.start(services.web(PORT))
    for spec in services.workers():
        extra = ("-I", "benchmarks.probes.verdict_probe") if spec.name == "worker-score" else ()
        house.start(type(spec)(spec.name, (*spec.command, *extra), grace_s=spec.grace_s))


def submit(key: str, name: str, content: bytes) -> tuple[float, dict[str, Any]]:
    """Seconds on the client's clock, and the answer."""
    mark = uuid.uuid4().hex
    fields = {"external_id": uuid.uuid4().hex, "station_id": "AOI-1", "recipe.name": "BENCH"}
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{one}"\r\n\r\n{value}\r\n'.encode()
        for one, value in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n\r\n'
    body = b"".join([*parts, head.encode(), content, f"\r\n--{mark}--\r\n".encode()])
    headers = {
        "Authorization": f"Bearer {key}",
        "Idempotency-Key": str(uuid.uuid4()),
        "Prefer": f"wait={WAIT_S}",
        "Content-Type": f"multipart/form-data; boundary={mark}",
    }
    began = time.perf_counter()
    line = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    line.request("POST", "/api/v1/inspections", body, headers)
    answer = line.getresponse()
    told = json.loads(answer.read())
    line.close()
    if answer.status not in (201, 202):
        sys.exit(f"{answer.status}: {told}")
    return time.perf_counter() - began, told


def measure(key: str, pictures: Path, probe: Path) -> list[dict[str, Any]]:
    """One unit after the other; each with what its networks took."""
    from inspection.models import Inspection

    files = sorted((pictures / "test" / "good").iterdir())
    rows = []
    for number in range(UNITS):
        file = files[number % len(files)]
        before = lines(probe)
        total, told = submit(key, file.name, file.read_bytes() + str(number).encode())
        in_time = told["result"] in ("Passed", "Failed")
        while not Inspection.objects.get(pk=told["id"]).verdict:
            time.sleep(0.05)
        forward = json.loads(probe.read_text().splitlines()[before])["forward"]
        times = {f"{stage}_ms": ms or 0 for stage, ms in told["timing_ms"].items()}
        rows.append({"total": total, "forward": forward, "in_time": in_time, **times})
        time.sleep(0.15)  # so that units meet the batch at any of its layers
    return rows


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def result(rows: list[dict[str, Any]], busy: bool) -> dict[str, Any]:
    shares = [(row["total"] - row["forward"]) / row["forward"] for row in rows]
    late = sum(not row["in_time"] or row["total"] > WAIT_S for row in rows)
    figure = p95(shares)
    return {
        "name": "verdict",
        "figure": round(figure, 3),
        "unit": "(total − forward) ÷ forward, p95",
        "limit": MUST,
        "ratio": round(MUST / figure, 3),
        "must": 1.0,
        "median": round(statistics.median(shares), 3),
        "total_ms_p95": round(1000 * p95([row["total"] for row in rows])),
        "total_ms_median": round(1000 * statistics.median(row["total"] for row in rows)),
        "forward_ms_median": round(1000 * statistics.median(row["forward"] for row in rows)),
        "forward_ms_p95": round(1000 * p95([row["forward"] for row in rows])),
        "queue_ms_median": statistics.median(row["queue_ms"] for row in rows),
        "queue_ms_p95": round(p95([row["queue_ms"] for row in rows])),
        "infer_ms_median": statistics.median(row["infer_ms"] for row in rows),
        "arrival_to_verdict_ms_median": statistics.median(row["total_ms"] for row in rows),
        "units": len(rows),
        "preset": PRESET,
        "later_than_3_s": late,
        "batch_and_training_until_the_end": busy,
        "ok": figure <= MUST and late == 0 and busy,
    }


def main() -> int:
    settings()
    import django
    from django.core.management import call_command

    django.setup()
    from django.conf import settings as configured

    from inspection.models import Inspection, Station, TrainingRun
    from webapp.local import services
    from webapp.local.supervisor import Supervisor

    own = Path(os.environ["KINTSUGI_VAR"])
    own.mkdir(parents=True, exist_ok=True)
    pictures, model = prepared()
    call_command("migrate", verbosity=0)
    viewpoint, key = plant(pictures, model)  # before any worker could train it again
    Station.objects.create(code="AOI-1", name="AOI")
    environment = services.environment(
        configured.REDIS_URL, os.environ["DJANGO_SETTINGS_MODULE"], own
    )
    with Supervisor({**environment, "PYTHONPATH": str(ROOT)}, own / "logs", print) as house:
        start(house)
        house.wait(lambda: services.answers(f"http://127.0.0.1:{PORT}/healthz"), 90, "the web")
        batch = load(viewpoint, pictures)
        waiting = Inspection.objects.filter(batch=batch, verdict="")
        running = TrainingRun.objects.filter(state="running", stage__gt="")
        house.wait(lambda: waiting.count() < BATCH and running.exists(), 240, "batch and training")
        for _ in range(3):  # the first ones load what no later one loads
            submit(key, "warm.png", next((pictures / "test" / "good").iterdir()).read_bytes())
            time.sleep(3)
        rows = measure(key, pictures, own / "forward.jsonl")
        busy = waiting.exists() and running.exists()
    found = result(rows, busy)
    if UNITS >= 500 or "VERDICT_STORE" in os.environ:
        (ROOT / "benchmarks" / "results" / "verdict.json").write_text(json.dumps(found, indent=1))
    print(f"{found['total_ms_median']} ms a verdict, its networks {found['forward_ms_median']} ms")
    print(json.dumps(found))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
