"""Options that `demo` hands on to `run_main_job`."""

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

DEMO_BUDGET, DATA_BUDGET = 4.5, 10.0  # minutes of training


def add_options(parser: ArgumentParser) -> None:
    """What a person may choose, and (not in the help) what tests choose."""
    parser.add_argument("--once", action="store_true", help="run the main job, print JSON, stop")
    parser.add_argument("--data", type=Path, help="your pictures, in a folder in MVTec's layout")
    parser.add_argument("--budget", type=_minutes, help="minutes of training")
    parser.add_argument("--install-seconds", type=float, default=0.0, help=SUPPRESS)
    parser.add_argument("--preset", default="compact", help=SUPPRESS)
    parser.add_argument("--steps", type=int, help=SUPPRESS)
    parser.add_argument("--pictures", type=_three_numbers, help=SUPPRESS)


def as_arguments(options: dict[str, Any]) -> list[str]:
    """The same options as a command line."""
    words = ["--once"] if options["once"] else []
    for name in ("data", "budget", "install_seconds", "preset", "steps"):
        if options[name] is not None:
            words += [f"--{name.replace('_', '-')}", str(options[name])]
    if options["pictures"]:
        words += ["--pictures", ",".join(map(str, options["pictures"]))]
    return words


def budget(options: dict[str, Any]) -> float:
    """Minutes of training: what was asked for, or what suits the pictures."""
    if options["budget"] is not None:
        return float(options["budget"])
    return DATA_BUDGET if options["data"] else DEMO_BUDGET


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        raise ArgumentTypeError(f"BUDGET must be a number of minutes, not {text!r}") from None
    if not minutes > 0:
        raise ArgumentTypeError("BUDGET must be more than 0 minutes")
    return minutes


def _three_numbers(text: str) -> tuple[int, int, int]:
    train, good, per_kind = (int(part) for part in text.split(","))
    return train, good, per_kind
