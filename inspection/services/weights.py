"""Weights that were trained elsewhere: installed by hand, checked, never fetched."""

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from inspection import ml_adapter
from inspection.errors import UserError

from .disk import check_free_space


@dataclass(frozen=True)
class KnownWeights:
    """A file that the product can use. `sha256` None: whoever installs it must name it."""

    file_name: str
    network: str
    sha256: str | None


@dataclass(frozen=True)
class Installed:
    file_name: str
    network: str
    sha256: str


KNOWN = {
    weights.file_name: weights
    for weights in (
        KnownWeights(
            "squeezenet1_1_imagenet.safetensors",
            "squeezenet1_1",
            "649cc876b71e69ba217296c68d153c06484b92429b8eda9842c686aec36622a9",
        ),
        KnownWeights("vgg16_imagenet.safetensors", "vgg16", None),
    )
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


def install(file: Path, sha256: str = "") -> Installed:
    """Check a weights file and copy it to the weights folder.

    The name says which network it is; the SHA-256 must be the known one, or the given one
    where none is known. Raises UserError and installs nothing otherwise.
    """
    known = _known(file)
    found = _hash(file)
    _check_hash(known, found, sha256.strip().lower())
    problem = ml_adapter.weights_problem(known.network, file)
    if problem:
        raise UserError(
            "not_weights",
            "{name} holds no {network} weights: {problem}",
            name=file.name,
            network=known.network,
            problem=problem,
        )
    check_free_space(file.stat().st_size / 1e9)
    _copy(file, Path(settings.WEIGHTS_DIR) / known.file_name, found)
    return Installed(known.file_name, known.network, found)


def installed() -> list[Installed]:
    """The weights that are there, with the SHA-256 that they were installed with."""
    there = []
    for known in KNOWN.values():
        note = _note(Path(settings.WEIGHTS_DIR) / known.file_name)
        if note.exists() and note.with_suffix("").exists():
            there.append(Installed(known.file_name, known.network, note.read_text().split()[0]))
    return there


def _known(file: Path) -> KnownWeights:
    if not file.is_file():
        raise UserError("no_such_file", "There is no file {file}.", file=file)
    if file.name not in KNOWN:
        names = " or ".join(KNOWN)
        raise UserError(
            "unknown_weights",
            "{name} is not a file that can be used; expected {names}.",
            name=file.name,
            names=names,
        )
    return KNOWN[file.name]


def _check_hash(known: KnownWeights, found: str, given: str) -> None:
    if given and not _SHA256.fullmatch(given):
        raise UserError("bad_sha256", "--sha256 must be 64 hexadecimal digits.")
    if known.sha256 is None and not given:
        raise UserError(
            "sha256_missing",
            "The SHA-256 of {name} is not known here. Give the one that its source publishes "
            "with --sha256; this file has {found}.",
            name=known.file_name,
            found=found,
        )
    if found != (known.sha256 or given) or (given and found != given):
        raise UserError(
            "wrong_sha256",
            "{name} has the SHA-256 {found}, not {expected}: it is damaged or another file. "
            "Copy it again from its source.",
            name=known.file_name,
            found=found,
            expected=given or known.sha256,
        )


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Under its real name only when it is whole; the note last, since it says "installed"."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    if _hash(part) != sha256:
        part.unlink()
        raise UserError(
            "changed_meanwhile", "{name} changed while it was copied.", name=source.name
        )
    part.chmod(0o644)
    part.replace(target)
    _note(target).write_text(f"{sha256}  {target.name}\n")


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")
