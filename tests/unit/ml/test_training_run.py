"""A run keeps the protocol: events, exit statuses, refusals, vetting, resuming."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import part, run_job, write_job
from safetensors.torch import load_file

from ml.features import SQUEEZENET_FILE
from ml.train import splits
from ml.train.job import Job, Refused
from ml.train.state import RunState

Parts = list[dict[str, str]]
Capture = pytest.CaptureFixture[str]

NUMBER, TEXT, WHOLE = {"type": "number"}, {"type": "string"}, {"type": "integer"}
MAYBE = {"type": ["number", "null"]}
SCHEMAS: dict[str, dict[str, Any]] = {
    "plan": {"stages": {"type": "array"}, "resumed": {"type": "boolean"}, "device": TEXT,
             "backbone": TEXT},
    "stage": {"stage": TEXT, "state": {"enum": ["started", "finished", "skipped"]}},
    "progress": {"stage": TEXT, "step": WHOLE, "steps": WHOLE, "rate": NUMBER, "unit": TEXT,
                 "eta_s": MAYBE, "eta_total_s": MAYBE,
                 "fraction": {"type": "number", "minimum": 0, "maximum": 1}},
    "metrics": {"stage": TEXT, "step": WHOLE,
                "values": {"type": "object", "additionalProperties": NUMBER}},
    "samples": {"stage": TEXT, "step": WHOLE, "path": TEXT, "rows": WHOLE,
                "columns": {"const": ["original", "masked", "rough", "restored"]}},
    "vet": {"path": TEXT, "flagged": WHOLE, "suggested": WHOLE, "total": WHOLE},
    "checkpoint": {"stage": TEXT, "step": WHOLE, "path": TEXT},
    "log": {"level": TEXT, "message": TEXT},
    "done": {"model": TEXT, "metrics": {"type": "object"}},
    "error": {"code": TEXT, "message": TEXT},
}  # fmt: skip


def check_events(events: list[dict[str, Any]]) -> None:
    """Every event has exactly the protocol's fields."""
    for event in events:
        fields = SCHEMAS[event["event"]]
        schema = {
            "type": "object",
            "properties": {"event": TEXT, "image": TEXT, **fields},
            "required": ["event", *fields],
            "additionalProperties": False,
        }
        jsonschema.validate(event, schema)


def names(events: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [e for e in events if e["event"] == event]


def test_a_whole_run_keeps_the_protocol(
    tmp_path: Path, parts: Parts, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.events.PROGRESS_INTERVAL", 0.0)  # none is left out
    status, events = run_job(write_job(tmp_path, parts), capsys)
    out = tmp_path / "out"
    assert status == 0
    check_events(events)
    assert events[0]["event"] == "plan"
    assert events[0]["stages"] == ["pretrain", "vet", "inpaint", "memory", "calibrate", "evaluate"]
    assert events[0]["backbone"] == "ssl_encoder"
    assert events[-1]["event"] == "done"
    finished = [e["stage"] for e in names(events, "stage") if e["state"] == "finished"]
    assert finished == events[0]["stages"]
    fractions = [e["fraction"] for e in names(events, "progress")]
    assert fractions == sorted(fractions)
    for sample in names(events, "samples"):
        assert (out / sample["path"]).is_file()
    vet = json.loads((out / "vet.json").read_text())["items"]
    assert [i["rank"] for i in vet] == list(range(1, len(parts) + 1))
    assert sum(i["flagged"] for i in vet) >= 7
    assert vet[0]["score"] == max(i["score"] for i in vet)
    manifest = json.loads((out / "model" / "manifest.json").read_text())
    assert manifest["images"] == {"train": 30, "held_out": 0, "calibration": 40, "excluded": 0}
    assert manifest["calibration"]["scores"] == sorted(manifest["calibration"]["scores"])
    assert manifest["scoring_backbone"]["stand_in"] is True
    assert manifest["steps"] == {"pretrain": 1, "inpaint": 6}
    assert not list(out.rglob("*.pt")) + list(out.rglob("*.pkl"))

    status, again = run_job(tmp_path / "job.json", capsys)
    assert status == 0
    assert again[0]["resumed"] is True
    assert {e["state"] for e in names(again, "stage")} == {"skipped"}


@pytest.mark.parametrize(("count", "needed"), [(0, "60"), (3, "57"), (59, "1 more")])
def test_too_few_pictures_are_refused_with_what_is_missing(
    count: int, needed: str, tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    status, events = run_job(write_job(tmp_path, parts[:count]), capsys)
    assert status == 2
    check_events(events)
    assert events[-1]["event"] == "error"
    assert events[-1]["code"] == "too_few_images"
    assert needed in events[-1]["message"]


def test_an_unreadable_picture_is_skipped_and_counted(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    images = [*parts, {"id": "the-bad-one", "path": str(bad)}]
    status, events = run_job(write_job(tmp_path, images, steps=1), capsys)
    assert status == 0
    assert any("the-bad-one" in e["message"] for e in names(events, "log"))
    manifest = json.loads((tmp_path / "out/model/manifest.json").read_text())
    assert manifest["images"]["excluded"] == 1


def test_a_job_that_is_none_is_refused(tmp_path: Path, capsys: Capture) -> None:
    for text in ("{", '{"images": []}', '{"images": [], "out": "x", "preset": "huge"}'):
        path = tmp_path / "job.json"
        path.write_text(text)
        status, events = run_job(path, capsys)
        assert (status, events[-1]["code"]) == (2, "bad_job")


def test_too_little_disk_is_refused(tmp_path: Path, parts: Parts, capsys: Capture) -> None:
    status, events = run_job(write_job(tmp_path, parts, min_free_gb=10**9), capsys)
    assert (status, events[-1]["code"]) == (2, "disk_full")


def test_vetting_pauses_and_goes_on_with_the_decisions(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    odd = tmp_path / "odd.png"
    part(5, defect=True).save(odd)
    images = [*parts, {"id": "odd", "path": str(odd)}]
    job = write_job(tmp_path, images, vetting="pause", steps=20)
    status, events = run_job(job, capsys)
    assert status == 4
    vet = json.loads((tmp_path / "out/vet.json").read_text())["items"]
    assert "odd" in {i["image"] for i in vet if i["flagged"]}
    assert not (tmp_path / "out/model").exists()

    job = write_job(
        tmp_path, images, vetting="pause", vetted=True, excluded={"odd": "a defect"}, steps=20
    )
    status, events = run_job(job, capsys)
    assert status == 0
    assert names(events, "vet") == []
    manifest = json.loads((tmp_path / "out/model/manifest.json").read_text())
    assert manifest["images"]["excluded"] == 1
    state = json.loads((tmp_path / "out/state.json").read_text())
    assert "odd" not in state["train"] + state["calibration"] + state["held_out"]


def test_cancel_ends_between_steps_and_leaves_a_checkpoint(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    job = write_job(tmp_path, parts, steps=100_000)
    out = tmp_path / "out"
    timer = threading.Timer(2.5, (out / "cancel").touch)
    timer.start()
    status, events = run_job(job, capsys)
    timer.join()
    assert status == 3
    assert names(events, "checkpoint")
    assert list((out / "checkpoints").glob("*/state.safetensors"))
    assert not list((out / "checkpoints").glob(".tmp*"))
    assert run_job(job, capsys)[0] == 3  # as long as the file is there


def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    assert run_job(write_job(whole, parts, steps=24), capsys)[0] == 0

    job = write_job(broken, parts, steps=24)
    for interruption in ("pretrain", "inpaint"):
        assert stop_in_the_middle_of(interruption, job, capsys) == 75
    status, events = run_job(job, capsys)
    assert status == 0
    assert any("Continuing inpaint" in e["message"] for e in names(events, "log"))
    for name in ("inpainting", "encoder", "normalisation"):
        expected = load_file(whole / f"out/model/{name}.safetensors")
        found = load_file(broken / f"out/model/{name}.safetensors")
        for key, tensor in expected.items():
            assert tensor.shape == found[key].shape
            assert float((tensor - found[key]).abs().max()) <= 1e-5, key
    first, second = (
        json.loads((f / "out/model/manifest.json").read_text())["calibration"]["scores"]
        for f in (whole, broken)
    )
    assert first == pytest.approx(second, abs=1e-5)


def stop_in_the_middle_of(stage: str, job: Path, capsys: Capture) -> int:
    """Send this process a SIGTERM after the stage's second step."""
    from ml.train import loop

    original = loop.StageClock.progress

    def progress(self: Any, step: int, steps: int, per_step: int = 1) -> None:
        original(self, step, steps, per_step)
        if self.stage == stage and step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.StageClock, "progress", progress)
        return run_job(job, capsys)[0]


def test_a_job_that_changed_its_settings_is_refused(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / SQUEEZENET_FILE).write_bytes(b"not yet")
    images = [*parts[:-1], {**parts[-1], "path": parts[0]["path"]}]
    given = {"steps": 1, "symmetries": ["shift"], "plan": {}}
    assert run_job(write_job(tmp_path, images, **given), capsys)[0] == 0
    assert run_job(write_job(tmp_path, images, **given, threads=2), capsys)[0] == 0
    changes: dict[str, dict[str, Any]] = {
        "steps": {"steps": 2}, "steps and budget": {"steps": None},
        "symmetries": {"symmetries": []}, "weights": {"weights_dir": str(weights)},
        "repair zones": {"repair_zones": [[0, 0, 0.5, 0.5]]}, "tiles": {"tile": "always"},
        "pictures": {"images": images[:-1]},
    }  # fmt: skip
    for what, change in changes.items():
        job = {"images": images, **given, **change}
        status, events = run_job(write_job(tmp_path, **job), capsys)
        assert (status, events[-1]["code"]) == (2, "job_changed")
        assert f"begun with other {what} (in " in events[-1]["message"]
    # what a person left out after the vetting may be gone
    path = tmp_path / "out/state.json"
    RunState.open(path, Job.read(write_job(tmp_path, images[:-1], **given, vetted=True)))
    state = json.loads(path.read_text())
    del state["job"]  # a run from before this was kept
    path.write_text(json.dumps(state))
    opened = RunState.open(path, Job.read(write_job(tmp_path, parts)))
    assert opened.job is not None


def test_without_vetting_the_same_is_learnt(tmp_path: Path, parts: Parts, capsys: Capture) -> None:
    found = []
    for vetting in ("keep", "skip"):
        folder = tmp_path / vetting
        folder.mkdir()
        status, events = run_job(write_job(folder, parts, vetting=vetting), capsys)
        assert status == 0
        assert ("vet" in events[0]["stages"]) is (vetting == "keep")
        manifest = json.loads((folder / "out/model/manifest.json").read_text())
        assert manifest["stage_seconds"]["load"] > 0
        found.append([manifest[k] for k in ("calibration", "decision", "scale", "images")])
        assert (folder / "out/vet.json").exists() is (vetting == "keep")
    assert found[0] == found[1]


def test_a_budget_becomes_a_plan_that_is_stored(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    job = write_job(tmp_path, parts, steps=None, budget_minutes=0.05)
    started = time.monotonic()
    assert run_job(job, capsys)[0] == 0
    assert time.monotonic() - started < 60
    state = json.loads((tmp_path / "out/state.json").read_text())
    assert state["plan"]["inpaint"] >= 8
    assert state["step_seconds"]["inpaint"] > 0


def test_a_plan_takes_the_place_of_timed_steps(
    tmp_path: Path, parts: Parts, capsys: Capture
) -> None:
    plan = {"pretrain": 3, "inpaint": 5}
    job = write_job(tmp_path, parts, steps=None, budget_minutes=0.05, plan=plan)
    assert run_job(job, capsys)[0] == 0
    state = json.loads((tmp_path / "out" / "state.json").read_text())
    assert {stage: state["planned"][stage] for stage in plan} == plan
    assert state["step_seconds"] == {}


def start(job: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ml", "train", "--job", str(job)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def test_sigterm_and_the_parents_death_end_the_process(tmp_path: Path, parts: Parts) -> None:
    job = write_job(tmp_path, parts, steps=100_000, exit_with_parent=True)
    process = start(job)
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if seen[-1]["event"] == "progress" and seen[-1]["stage"] == "pretrain":
            process.send_signal(signal.SIGTERM)
            break
    rest = [json.loads(line) for line in process.stdout]
    assert process.wait(60) == 75
    check_events(seen + rest)

    # A parent that starts the trainer, tells its pid and dies at once without a word.
    script = (
        "import subprocess,sys,os;"
        f"p=subprocess.Popen([sys.executable,'-m','ml','train','--job',{str(job)!r}],"
        "stdout=subprocess.PIPE,text=True);"
        "next(l for l in p.stdout if '\"pretrain\"' in l and 'progress' in l);"
        "print(p.pid,flush=True);os.kill(os.getpid(),9)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=180,
    )
    assert gone(int(parent.stdout), within=60)


def gone(pid: int, within: float) -> bool:
    """Whether a process ends (a zombie that nobody collects counts as ended)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if status == "Z":
            return True
        time.sleep(0.1)
    return False


def test_split_is_disjoint_fixed_and_keeps_calibration_whole() -> None:
    ids = [f"p{i}" for i in range(300)]
    split = splits.draw(ids, 1)
    assert len(split.calibration) == 60
    assert len(split.held_out) == 36
    assert sorted(split.train + split.held_out + split.calibration) == sorted(ids)
    assert splits.draw(ids[::-1], 1) == split
    assert splits.draw(ids, 2) != split
    after = splits.without(split, set(split.calibration[:10]))
    assert after is not None
    assert len(after.calibration) == 58
    assert not set(after.calibration) & set(split.train)


def test_split_is_drawn_again_where_calibration_cannot_be_filled() -> None:
    ids = [f"p{i}" for i in range(70)]
    split = splits.draw(ids, 1)
    assert splits.without(split, {split.calibration[0]}) is None
    with pytest.raises(Refused):
        splits.draw(ids[:59], 1)


def test_large_pictures_are_calibrated_on_sixty_at_most() -> None:
    ids = [f"p{i}" for i in range(900)]
    split = splits.draw(ids, 1, large=True)
    assert (len(split.calibration), len(split.held_out), len(split.train)) == (60, 48, 792)
    after = splits.without(split, set(split.calibration[:10]), large=True)
    assert after is not None
    assert len(after.calibration) == 60
    assert len(splits.draw(ids, 1).calibration) == 180
    assert splits.draw(ids[:120], 1, large=True) == splits.draw(ids[:120], 1)


def test_weights_may_come_until_something_was_judged_by_them(tmp_path: Path, parts: Parts) -> None:
    """Installed while a run waits for somebody to look at what its vetting found."""
    weights = tmp_path / "weights"
    weights.mkdir()
    path = tmp_path / "out/state.json"
    path.parent.mkdir()
    RunState.open(path, Job.read(write_job(tmp_path, parts))).save(path)
    state = {**json.loads(path.read_text()), "finished": ["load", "pretrain", "vet"]}
    path.write_text(json.dumps(state))
    (weights / SQUEEZENET_FILE).write_bytes(b"come")
    with_weights = Job.read(write_job(tmp_path, parts, weights_dir=str(weights)))
    opened = RunState.open(path, with_weights)
    assert opened.job is not None
    assert opened.job["weights"] == [[SQUEEZENET_FILE, 4]]
    path.write_text(json.dumps({**state, "plan": {"inpaint": 9}}))
    with pytest.raises(Refused, match=r"begun with other weights .* start a new run"):
        RunState.open(path, with_weights)
