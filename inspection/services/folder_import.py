"""Bringing in a folder of this machine: the same checks and receipts as an upload by browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

from inspection.errors import UserError
from inspection.models import Batch, Dataset, Upload, User

from .archives import is_litter
from .incoming import key_of_path
from .uploads import close_upload, open_upload, receive_file


def import_folder(
    user: User | None,
    *,
    dataset: Dataset | None = None,
    batch: Batch | None = None,
    folder: Path,
    labels: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Upload:
    """The pictures of a local folder, with the same receipts; `labels`: folder names say the kind.

    `progress(done, total)` is called after every file. Raises UserError when it is no folder.
    """
    if not folder.is_dir():
        raise UserError("no_folder", "{folder} is not a folder. Check the path.", folder=folder)
    files = list(files_in(folder))
    meaning = Upload.Folders.LABEL if labels else Upload.Folders.NOTHING
    upload = open_upload(
        user, dataset=dataset, batch=batch, expected_files=len(files), folders=meaning
    )
    for done, path in enumerate(files, start=1):
        _import(user, upload, folder, path)
        if progress:
            progress(done, len(files))
    return close_upload(user, upload)


def files_in(folder: Path) -> Iterator[Path]:
    """Every file under `folder` in the order of its name, without what systems leave behind."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_litter(path.relative_to(folder).as_posix()):
            yield path


def _import(user: User | None, upload: Upload, folder: Path, path: Path) -> None:
    name = path.relative_to(folder).as_posix()
    key = key_of_path(name)
    with path.open("rb") as stream:
        size = path.stat().st_size
        receive_file(user, upload, client_key=key, name=name, stream=stream, size=size)
