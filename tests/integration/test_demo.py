"""`manage.py demo` as `make demo` calls it: a real start, at a tiny size."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--preset", "tiny", "--steps", "4", "--budget", "1", "--pictures", "70,3,1")
KEYS = {
    *("product", "train_images", "scored", "verdicts", "image_auroc", "recall", "tnr"),
    *("seconds", "scoring_backbone"),
}
OWN_SETTINGS = ("TEST_", "KINTSUGI_", "REDIS_URL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE")
Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def var(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def demo(var: Path) -> Iterator[Demo]:
    """`demo("--once")` starts it with an environment in which nothing is set."""
    started: list[subprocess.Popen[str]] = []
    clean = {k: v for k, v in os.environ.items() if not k.startswith(OWN_SETTINGS)}
    environment = {**clean, "KINTSUGI_VAR": str(var), "KINTSUGI_MIN_FREE_GB": "0.1"}

    def start(*words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait()


def test_interrupted_it_goes_on_to_the_json_line_and_leaves_nothing_running(
    demo: Demo, var: Path
) -> None:
    first = demo(*TINY)
    wait_for(lambda: (var / "demo" / "DEMO-ASSEMBLY.json").exists(), 120, "seeding began")
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=90)
    assert first.returncode == 0, err + logs(var)
    assert "One-time password:" in out
    assert "Everything is stopped; the data is kept." in out
    assert of(var) == []

    running = demo("--once", "--install-seconds", "12", *TINY)
    out, err = running.communicate(timeout=380)

    assert running.returncode == 0, out[-3000:] + err[-3000:] + logs(var)
    figures = json.loads(out.splitlines()[-1])
    assert set(figures) == KEYS
    assert set(figures["verdicts"]) == {"pass", "fail", "review"}
    assert set(figures["seconds"]) == {"install", "import", "train", "score"}
    assert figures["train_images"] == 70
    assert figures["scored"] == sum(figures["verdicts"].values()) > 3
    assert figures["seconds"]["install"] == 12
    assert min(figures["seconds"].values()) > 0
    assert 0 <= figures["image_auroc"] <= 1
    assert 0 <= figures["recall"] <= 1
    assert 0 <= figures["tnr"] <= 1
    assert figures["scoring_backbone"] == "ssl_encoder"
    assert "One-time password:" not in out
    assert "naive template" in out
    for kind in ("good", "scratch", "missing_part"):
        assert f"\n{kind} " in out
    assert of(var) == []


def test_a_failing_main_job_says_why_and_exits_non_zero(demo: Demo, var: Path) -> None:
    running = demo("--once", "--preset", "no-such-preset", "--pictures", "60,1,1")

    out, err = running.communicate(timeout=120)

    assert running.returncode == 1, logs(var)
    assert "The main job failed: There is no preset “no-such-preset”" in err
    assert not out.splitlines()[-1].startswith("{")
    assert of(var) == []


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no folder train/good"),
        ({"train/good": 3}, "holds 3 files; training needs at least 60 pictures"),
    ],
)
def test_a_folder_without_enough_good_pictures_is_refused_before_anything_starts(
    demo: Demo, var: Path, tmp_path: Path, files: dict[str, int], sentence: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for folder, count in files.items():
        (data / folder).mkdir(parents=True)
        for n in range(count):
            (data / folder / f"{n}.png").touch()

    running = demo("--once", "--data", str(data))

    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert sentence in err
    assert not (var / "redis").exists()


def of(var: Path) -> list[list[str]]:
    """Command lines of the processes that work on this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("KINTSUGI_VAR") == str(var):
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


def logs(var: Path) -> str:
    """The ends of all logs, for the message of a failed test."""
    files = sorted((var / "log").glob("*.log"))
    return "".join(f"\n--- {file.name}\n{file.read_text()[-1500:]}" for file in files)
