"""What `make demo` starts is stopped, whatever way it ends, and nothing else is."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import wait_for

HOUSE = Path(__file__).with_name("house.py")
House = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(HOUSE), str(tmp_path), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def pids(folder: Path, *names: str) -> list[int]:
    """Pids that the named processes (and their children) wrote, once all have."""

    def read() -> list[int]:
        files = [folder / f"{name}.pid" for name in names]
        texts = [file.read_text() if file.exists() else "" for file in files]
        return [int(pid) for text in texts for pid in text.split()] if all(texts) else []

    return wait_for(read, 60, f"{names} are up")


def gone(pid: int) -> bool:
    """Whether no process has this id, or only one that nobody collected yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(some: list[int]) -> bool:
    return all(gone(pid) for pid in some)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_ends_every_process_and_its_children_and_no_other(
    house: House, tmp_path: Path, number: signal.Signals
) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    running = house()
    ours = pids(tmp_path, "polite", "last")
    assert len(ours) == 4

    running.send_signal(number)

    assert running.wait(30) == 0
    assert all_gone(ours)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_what_ignores_a_polite_stop_is_killed_after_its_grace(house: House, tmp_path: Path) -> None:
    running = house("stubborn")
    ours = pids(tmp_path, "polite", "stubborn")

    running.terminate()

    assert running.wait(30) == 0
    assert all_gone(ours)


def test_a_stop_is_answered_at_once(house: House, tmp_path: Path) -> None:
    running = house("stubborn", "long")
    pids(tmp_path, "stubborn")
    running.send_signal(signal.SIGINT)
    assert_answered(running)
    assert running.poll() is None, "said before anything is waited for"
    running.send_signal(signal.SIGINT)
    running.wait(45)


def assert_answered(running: "subprocess.Popen[str]") -> None:
    assert running.stdout
    assert running.stdout.readline().startswith("Stopping; a training saves its state")


def test_a_second_ctrl_c_does_not_wait_for_the_grace(house: House, tmp_path: Path) -> None:
    running = house("stubborn", "long")
    ours = pids(tmp_path, "stubborn")

    running.send_signal(signal.SIGINT)
    assert_answered(running)  # else two signals may be one
    running.send_signal(signal.SIGINT)

    running.wait(45)  # its grace is twice that
    assert all_gone(ours)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_supervisor_takes_its_processes_along(house: House, tmp_path: Path) -> None:
    running = house()
    pids(tmp_path, "polite", "last")
    mains = [int((tmp_path / f"{name}.pid").read_text().split()[0]) for name in ("polite", "last")]

    running.kill()

    wait_for(lambda: all_gone(mains), 30, "the processes are gone")


def test_a_process_that_dies_is_started_again_without_what_it_left(
    house: House, tmp_path: Path
) -> None:
    running = house()
    before = pids(tmp_path, "polite")
    others = pids(tmp_path, "last")

    os.kill(before[0], signal.SIGKILL)

    wait_for(lambda: pids(tmp_path, "polite") != before, 30, "it is started again")
    assert all_gone(before)
    assert not any(map(gone, others))
    running.terminate()
    said, _ = running.communicate(timeout=60)
    assert "polite ended unexpectedly (killed by SIGKILL)" in said
    assert str(tmp_path / "log" / "polite.log") in said


def test_two_at_once_on_the_same_data_are_refused(house: House, tmp_path: Path) -> None:
    first = house()
    pids(tmp_path, "polite")

    second = house()

    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"runs already on the data in {tmp_path} (process {first.pid})" in said
    assert first.poll() is None


def test_a_killed_one_leaves_no_lock(house: House, tmp_path: Path) -> None:
    first = house()
    first_pids = pids(tmp_path, "polite")
    first.kill()
    first.wait()

    house()

    wait_for(lambda: pids(tmp_path, "polite") != first_pids, 60, "the second one runs")
