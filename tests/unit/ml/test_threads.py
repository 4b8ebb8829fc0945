"""Processes on busy cores give way while they wait."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHOW = "import ml.features, os; print(os.environ['OMP_WAIT_POLICY'])"


def shown(**environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", SHOW]
    done = subprocess.run(
        command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_waiting_threads_sleep_unless_somebody_says_otherwise() -> None:
    assert shown() == "PASSIVE"
    assert shown(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
