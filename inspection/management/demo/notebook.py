"""What the main job did so far, so that an interrupted one goes on at the next start."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Notebook:
    """Kept in `var/demo/<code>.json`. The rows are the truth; this says which rows are ours."""

    file: Path
    code: str
    folder: str = ""
    product: str = ""
    run: str = ""
    batch: str = ""
    done: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path, code: str) -> "Notebook":
        """The notebook in `file`; an empty one where there is none or it cannot be read."""
        try:
            return cls(file=file, **json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return cls(file=file, code=code)

    def write(self) -> None:
        """Keep it, whole or not at all."""
        fields = asdict(self)
        del fields["file"]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(fields, indent=1))
        part.replace(self.file)

    def begin_again(self) -> None:
        """A new run and a new batch on the pictures that are there."""
        self.run, self.batch, self.done = "", "", False
        self.write()
