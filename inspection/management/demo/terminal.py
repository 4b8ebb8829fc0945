"""What a person sees while the main job runs."""

import shutil
import sys
import time
from typing import TextIO

LINE_EVERY_S = 15.0  # where the output is no terminal


class Terminal:
    """Sentences, and one progress line that is written over itself on a real terminal."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown = ""
        self._last = ("", 0.0)

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._clear()
        self._out.write(text + "\n")
        self._out.flush()

    def progress(self, what: str, detail: str) -> None:
        """How far `what` is. A new `what` is always shown, the rest now and then."""
        line = f"{what}: {detail}"
        if self._live:
            self._clear()
            self._shown = line[: shutil.get_terminal_size().columns - 1]
            self._out.write(self._shown)
            self._out.flush()
            return
        before, at = self._last
        if what != before or time.monotonic() - at >= LINE_EVERY_S:
            self._last = (what, time.monotonic())
            self.say(line)

    def _clear(self) -> None:
        if self._shown:
            self._out.write("\r" + " " * len(self._shown) + "\r")
            self._shown = ""


def duration(seconds: float | None) -> str:
    """`75` → `1 min 15 s`."""
    if seconds is None:
        return "unknown time"
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
