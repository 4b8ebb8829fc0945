"""`python -m ml`: the method without the app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

USAGE = """usage: python -m ml COMMAND …

  pretrain       learn the encoder alone, from unlabelled pictures
  train          learn from pictures of good parts
  score          score pictures with a trained model: CSV and heatmaps
  bench          compare methods on labelled test pictures: the columns of Table I
  export         write a trained model as ONNX, checked against the original
  info           what a model folder holds
  demo-pictures  make the demo pictures

python -m ml COMMAND --help tells more."""


def _command(module: str) -> Callable[[Sequence[str]], int]:
    # Imported when called: `--help` and the demo pictures should not wait for torch.
    def run(argv: Sequence[str]) -> int:
        return int(import_module(module).main(list(argv)))

    return run


COMMANDS = {
    "pretrain": _command("ml.commands.pretrain"),
    "train": _command("ml.commands.train"),
    "score": _command("ml.commands.score"),
    "bench": _command("ml.commands.bench"),
    "export": _command("ml.export.cli"),
    "info": _command("ml.commands.info"),
    "demo-pictures": _command("ml.data.assemblies.cli"),
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
