"""What a run says while it works: JSON lines for a program, a progress bar for a person."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

PROGRESS_INTERVAL = 0.5  # seconds between two progress events


class Emitter:
    """Writes events to a stream; `as_json` False draws a bar on a terminal instead."""

    def __init__(self, as_json: bool, stream: TextIO | None = None) -> None:
        self.as_json = as_json
        self.stream = stream or sys.stdout
        self._last_progress = -PROGRESS_INTERVAL
        self._bar_open = False

    def emit(self, event: str, **fields: Any) -> None:
        """Send one event; progress is thinned out to about two a second."""
        if event == "progress" and not self._due(fields):
            return
        if self.as_json:
            self._write(json.dumps({"event": event, **fields}) + "\n")
        elif event == "progress":
            self._draw_bar(fields)
        else:
            self._close_bar()
            if line := _for_a_person(event, fields):
                self._write(line + "\n")

    def _due(self, fields: dict[str, Any]) -> bool:
        now = time.monotonic()
        if now - self._last_progress < PROGRESS_INTERVAL and fields["step"] < fields["steps"]:
            return False
        self._last_progress = now
        return True

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

    def _draw_bar(self, f: dict[str, Any]) -> None:
        filled = round(28 * f["fraction"])
        bar = "█" * filled + "░" * (28 - filled)
        left = f"{f['eta_total_s']:.0f} s left" if f["eta_total_s"] is not None else ""
        rate = f"{f['rate']:.1f} {f['unit']}/s"
        text = f"\r{f['stage']:>9} {bar} {f['step']}/{f['steps']} · {rate} · {left}   "
        self._write(text)
        self._bar_open = True

    def _close_bar(self) -> None:
        if self._bar_open:
            self._write("\n")
            self._bar_open = False


def _for_a_person(event: str, fields: dict[str, Any]) -> str | None:
    """One readable line for an event, or None where the bar says enough."""
    if event == "metrics":
        values = ", ".join(f"{k} {v:.4g}" for k, v in fields["values"].items())
        return f"{fields['stage']} {fields['step']}: {values}"
    if event == "plan":
        return f"stages {', '.join(fields['stages'])} on {fields['device']}, {fields['backbone']}"
    if event == "vet":
        return f"vetting: {fields['flagged']} of {fields['total']} flagged, see {fields['path']}"
    if event in ("log", "error"):
        return f"{fields.get('level', event)}: {fields['message']}"
    if event == "done":
        return f"model: {fields['model']}"
    return None
