"""A supervisor over small processes, run by the tests as a process of its own.

Usage: python house.py FOLDER. Each small process writes its pid (and its child's) into FOLDER.
"""

import os
import sys
from pathlib import Path

from webapp.local.lock import only_one
from webapp.local.problems import CannotStart
from webapp.local.processes import Spec
from webapp.local.supervisor import Stopped, Supervisor

FOLDER = Path(sys.argv[1])
POLITE = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""


def spec(name: str, code: str, **options: float) -> Spec:
    return Spec(name, (sys.executable, "-c", code, str(FOLDER / f"{name}.pid")), **options)


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    with only_one(FOLDER), Supervisor(os.environ, FOLDER / "log", say) as house:
        house.start(spec("polite", POLITE, grace_s=5), spec("last", POLITE, stop_rank=9))
        if "stubborn" in sys.argv:
            house.start(spec("stubborn", STUBBORN, grace_s=90 if "long" in sys.argv else 1))
        house.watch()


if __name__ == "__main__":
    try:
        main()
    except Stopped:
        say("stopped")
    except CannotStart as error:
        say(str(error))
        sys.exit(1)
