"""How far a file is that a person's browser loads while it is written, told to their pages."""

import time
from uuid import UUID, uuid4

from .push import push_to

EVERY_S = 0.5
SLOW_S = 1.0  # so long a push takes only while Redis does not answer


class Export:
    """One file of `total` rows for one user, told at most every EVERY_S seconds. The file itself
    is what matters: where telling takes long, nothing more is told until its end."""

    def __init__(self, user_id: UUID, total: int, url: str) -> None:
        self._user_id, self._total, self._url = user_id, total, url
        self._id = str(uuid4())
        self._rows = 0
        self._next = time.monotonic()

    def wrote(self, rows: int) -> None:
        """`rows` of it so far."""
        self._rows = rows
        now = time.monotonic()
        if rows < self._total and now >= self._next:
            self._tell("running")
            took = time.monotonic() - now
            self._next = float("inf") if took > SLOW_S else now + EVERY_S

    def end(self, *, whole: bool) -> None:
        """The last row is written, or nobody takes any more of them."""
        self._tell("done" if whole else "stopped")

    def _tell(self, state: str) -> None:
        push_to(
            self._user_id,
            "export",
            id=self._id,
            kind="export",
            url=self._url,
            state=state,
            rows=self._rows,
            total=self._total,
            fraction=min(1.0, self._rows / self._total) if self._total else None,
        )
