"""`python -m ml demo-pictures OUT`: write a folder of demo pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ml.data.assemblies.defects import KINDS
from ml.data.assemblies.writer import generate

_OK, _REFUSED = 0, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (0 done, 2 refused)."""
    options = _parser().parse_args(argv)
    try:
        folder = generate(
            options.out,
            seed=options.seed,
            train=options.train,
            good=options.good,
            per_kind=options.per_kind,
            size=options.size,
            progress=_report,
        )
    except (FileExistsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    sys.stderr.write("\n")
    sys.stdout.write(f"{folder}\n")
    return _OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml demo-pictures",
        description="Write pictures of good and defective assemblies in MVTec layout.",
        epilog=f"Kinds of defect: {', '.join(KINDS)}.",
    )
    parser.add_argument("out", metavar="OUT", help="new or empty folder")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same pictures (1)")
    parser.add_argument("--train", type=int, default=200, help="good pictures to learn from (200)")
    parser.add_argument("--good", type=int, default=60, help="good pictures to test with (60)")
    parser.add_argument("--per-kind", type=int, default=10, help="pictures per defect (10)")
    parser.add_argument("--size", type=int, default=256, help="side, a multiple of 128 (256)")
    return parser


def _report(done: int, total: int) -> None:
    if done == total or done % 10 == 0:
        sys.stderr.write(f"\r{done} of {total} pictures")
        sys.stderr.flush()
