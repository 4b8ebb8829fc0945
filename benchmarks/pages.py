"""How much longer Today and Defects take than their SQL alone, with a million inspections.

PostgreSQL from DATABASE_URL, a database of its own there (`kintsugi_pages`, made by
`manage.py make_history`; dropped at the end unless PAGES_KEEP is set, and then used again). Ten
users with one second to think open pages with one filter each; beside them a probe runs the bare
SQL of the same pages and opens an empty signed-in page. Must hold: the median page takes at most
60 ms more than its bare SQL (for every filter), and 95 of 100 pages at most three times as long
as bare SQL and empty page together. The ratio is how far the worse of the two stays below: 1 is
just good enough.
"""

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "kintsugi_pages"
INSPECTIONS = int(os.environ.get("PAGES_INSPECTIONS", "1000000"))
SECONDS = float(os.environ.get("PAGES_SECONDS", "120"))
USERS, THINK_S = 10, 1.0
WARM = 6
MOST_OVER_MS, MOST_TIMES, MUST = 60.0, 3.0, 1.0
EMPTY = "/settings/about/"


@dataclass
class Page:
    """One address with one filter: its SQL, how long both took (seconds)."""

    kind: str
    path: str
    statements: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def over_ms(self) -> float:
        """Median page less median bare SQL."""
        return 1000 * (statistics.median(self.took) - statistics.median(self.bare))


# --- the database ------------------------------------------------------------------------


def own_database(url: str) -> str:
    """The address of the benchmark's own database on the same server, made if need be."""
    parts = urlsplit(url)
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if not there.fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return urlunsplit(parts._replace(path=f"/{DATABASE}"))


def drop(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def fill() -> None:
    """A year of history, unless it is there from an earlier time."""
    from django.core.management import call_command

    from inspection.models import Inspection

    call_command("migrate", verbosity=0)
    if not Inspection.objects.exists():
        call_command("make_history", inspections=INSPECTIONS)
    print(f"{Inspection.objects.count():,} inspections", flush=True)


# --- what is asked for -------------------------------------------------------------------


def pages() -> list[Page]:
    """Today and Defects without a filter, and with each filter that they have."""
    from inspection.models import Inspection, Product, ReasonCode, Station

    some = Inspection.objects.filter(verdict="Failed").select_related("lot", "unit").first()
    assert some is not None
    day = some.completed_at.date() if some.completed_at else None
    product = Product.objects.order_by("code").first()
    station = Station.objects.order_by("code").first()
    reason = ReasonCode.objects.order_by("code").first()
    for needed in (product, station, reason, some.lot, some.unit):
        assert needed is not None
    both = [f"product={product.code}", f"line={station.line.replace(' ', '+')}"]
    both.append(f"station={station.code}")
    today = ["", *both, *(f"period={name}" for name in ("today", "30d", "90d", "12m"))]
    defects = [
        "",
        *both,
        f"lot={some.lot.code}",
        f"work_order={some.work_order}",
        f"serial={some.unit.serial_number}",
        f"since={day}",
        f"until={day}",
        *(f"verdict={name}" for name in ("pass", "fail", "review", "error", "called", "audit")),
        *(f"review={name}" for name in ("waiting", "queue", "defect", "good", "DefectRejected")),
        "score_min=0.9",
        "score_max=0.1",
        f"reason={reason.code}",
        "reason=none",
        "reason=none&review=defect&record=1",
        f"viewpoint={some.viewpoint_id}",
        f"model={some.model_version_id}",
        "panel=P-1",
        f"cell={some.cell or 9}",
        "record=1",
    ]
    found = [Page("today", f"/?{query}") for query in today]
    return found + [Page("defects", f"/defects/?{query}") for query in defects]


def sign_in() -> str:
    """The session of a quality manager who may see everything."""
    from django.test import Client

    from inspection.models import Role, User

    user, new = User.objects.get_or_create(username="quality.manager")
    if new:
        user.memberships.create(role=Role.ENGINEER, product=None)
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def learn_sql(session: str, asked: list[Page]) -> None:
    """What each page asks the database for, as it was sent."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(HTTP_HOST="localhost")
    client.cookies["sessionid"] = session
    for page in asked:
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(page.path)
        if answer.status_code != 200:
            sys.exit(f"{page.path} answered {answer.status_code}")
        page.statements = [
            one["sql"] for one in captured if one["sql"].lstrip().upper().startswith("SELECT")
        ]


# --- users and probe ---------------------------------------------------------------------


class Browser:
    """One connection that is kept, as a browser's."""

    def __init__(self, port: int, session: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Cookie": f"sessionid={session}", "Host": "localhost"}

    def get(self, path: str) -> float:
        """Seconds until the whole page is there."""
        started = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise AssertionError(f"{path} answered {answer.status}")
        return time.perf_counter() - started


class Run:
    def __init__(self, asked: list[Page], port: int, session: str, url: str) -> None:
        self.asked, self.port, self.session, self.url = asked, port, session, url
        self.empty: list[float] = []
        self.until = time.monotonic() + SECONDS
        self.errors: list[BaseException] = []

    def go(self) -> None:
        sys.setswitchinterval(0.0005)  # a user's clock must not wait for another user's thread
        work = [lambda n=n: self._user(n) for n in range(USERS)] + [self._probe]
        threads = [threading.Thread(target=self._guarded, args=[one]) for one in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:
            self.errors.append(error)

    def _user(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        browser = Browser(self.port, self.session)
        time.sleep(chance.random() * THINK_S)
        waiting: list[Page] = []
        while time.monotonic() < self.until:
            if not waiting:  # each page as often as any other, in an order of one's own
                waiting = chance.sample(self.asked, len(self.asked))
            page = waiting.pop()
            page.took.append(browser.get(page.path))
            time.sleep(THINK_S)

    def _probe(self) -> None:
        browser = Browser(self.port, self.session)
        with psycopg.connect(self.url, autocommit=True) as connection:
            while time.monotonic() < self.until or not all(page.bare for page in self.asked):
                for page in random.sample(self.asked, len(self.asked)):
                    page.bare.append(run_sql(connection, page.statements))
                    self.empty.append(browser.get(EMPTY))
                    time.sleep(0.1)


def run_sql(connection: Any, statements: list[str]) -> float:
    started = time.perf_counter()
    for statement in statements:
        connection.execute(statement).fetchall()
    return time.perf_counter() - started


# --- all of it ---------------------------------------------------------------------------


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The web process of a plant: production templates and static files, pooled connections."""
    from webapp.local.services import WEB_PROCESSES, _any_free_port

    port = _any_free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "webapp.asgi:application",
        "--port",
        str(port),
        "--workers",
        str(WEB_PROCESSES),
    ]
    log = (folder / "web.log").open("wb")
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    for _ in range(200):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            if connection.getresponse().status == 200:
                return process, port
        except OSError:
            time.sleep(0.3)
    process.kill()
    sys.exit(f"the pages did not start:\n{(folder / 'web.log').read_text()[-2000:]}")


def measure(folder: Path, url: str) -> Run:
    asked = pages()
    session = sign_in()
    learn_sql(session, asked)
    process, port = serve(folder)
    try:
        for _ in range(WARM):  # each connection may come to another process
            warm = Browser(port, session)
            for page in asked:
                warm.get(page.path)
        run = Run(asked, port, session, url)
        run.go()
        return run
    finally:
        process.terminate()
        process.wait(10)


def report(run: Run) -> dict[str, Any]:
    empty = statistics.median(run.empty)
    print(
        f"empty signed-in page {1000 * empty:.0f} ms; {sum(len(p.took) for p in run.asked)} pages"
    )
    print(f"{'page':44} {'n':>4} {'median':>7} {'bare':>6} {'over':>6} {'p95':>7}  ms")
    times: dict[str, list[float]] = {"today": [], "defects": []}
    for page in run.asked:
        bare = statistics.median(page.bare)
        times[page.kind] += [took / (bare + empty) for took in page.took]
        took = sorted(page.took)
        median, p95 = statistics.median(took), took[int(0.95 * (len(took) - 1))]
        numbers = f"{1000 * median:7.0f} {1000 * bare:6.0f} {page.over_ms:6.0f} {1000 * p95:7.0f}"
        print(f"{page.path:44} {len(took):4} {numbers}")
    over = max(page.over_ms for page in run.asked)
    slow = max(sorted(found)[int(0.95 * (len(found) - 1))] for found in times.values())
    for kind, found in times.items():
        p95 = sorted(found)[int(0.95 * (len(found) - 1))]
        medians = [page.over_ms for page in run.asked if page.kind == kind]
        print(f"{kind}: {statistics.median(medians):.0f} ms over bare SQL, p95 {p95:.2f} times")
    ratio = min(MOST_OVER_MS / max(over, 1e-3), MOST_TIMES / slow)
    return {
        "name": "pages",
        "figure": round(over, 1),
        "unit": f"ms over bare SQL (worst filter); p95 {slow:.2f} × (bare SQL + empty page)",
        "limit": MOST_OVER_MS,
        "ratio": round(ratio, 3),
        "must": MUST,
        "ok": ratio >= MUST,
    }


def main() -> None:
    given = os.environ.get("DATABASE_URL", "")
    if not given.startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL server; a database is made there")
    url = own_database(given)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            KINTSUGI_VAR=folder,
            STATIC_ROOT=str(Path(folder) / "static"),
            DATABASE_URL=url,
            DATABASE_POOL="true",
            DJANGO_SETTINGS_MODULE="webapp.settings.dev",
            LOG_LEVEL="ERROR",
        )
        sys.path.insert(0, str(ROOT))
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        call_command("collectstatic", interactive=False, verbosity=0)
        try:
            fill()
            result = report(measure(Path(folder), url))
        finally:
            connections.close_all()
            if not os.environ.get("PAGES_KEEP"):
                drop(given)
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
