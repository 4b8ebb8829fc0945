"""`python -m ml`: the method without the app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

USAGE = """usage: python -m ml COMMAND …

  train          learn from pictures of good parts
  score          score pictures with a trained model: CSV and heatmaps
  info           what a model folder holds
  demo-pictures  make the demo pictures

python -m ml COMMAND --help tells more."""


def _train(argv: Sequence[str]) -> int:
    from ml.commands.train import main

    return main(argv)


def _score(argv: Sequence[str]) -> int:
    from ml.commands.score import main

    return main(argv)


def _info(argv: Sequence[str]) -> int:
    from ml.commands.info import main

    return main(argv)


def _demo_pictures(argv: Sequence[str]) -> int:
    from ml.data.assemblies.cli import main

    return int(main(list(argv)))


# Imported when called: `--help` and the demo pictures should not wait for torch.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    "score": _score,
    "info": _info,
    "demo-pictures": _demo_pictures,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Hand over to the command; 2 where there is none of that name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help")
        sys.stdout.write(USAGE + "\n")
        return 0 if asked_for_help else 2
    return COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
