"""The only module of the app that knows `ml`.

Everything is imported where it is used: a web process that only opens pictures must not
load PyTorch, and a worker's main process must not load it before it forks.
"""

import sys
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from django.conf import settings

# Loads nothing else, and every cell of a CSV asks it.
from ml.commands.cells import STARTERS as STARTERS
from ml.commands.cells import harmless as harmless

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image as PillowImage

    from ml.data.pictures import PictureError as PictureError
    from ml.data.pictures import PictureInfo as PictureInfo
    from ml.scoring import Region as Region
    from ml.scoring import ScoredPicture as ScoredPicture
    from ml.scoring import Scorer

WARM_MODELS = 3


def __getattr__(name: str) -> Any:
    """`PictureError`, so that callers can catch it without importing ml themselves."""
    if name == "PictureError":
        from ml.data.pictures import PictureError

        return PictureError
    raise AttributeError(name)


# --- pictures --------------------------------------------------------------------------


def open_picture(file: IO[bytes] | Path | str) -> "PillowImage.Image":
    """RGB, upright, 8 bit, first frame. Raises PictureError(code, message)."""
    from ml.data import pictures

    return pictures.open_picture(file, settings.MAX_PIXELS)


def read_picture(file: IO[bytes] | Path | str) -> "tuple[PillowImage.Image, PictureInfo]":
    """As `open_picture`, and what the picture was: format, mode, frames, notes."""
    from ml.data import pictures

    return pictures.read_picture(file, settings.MAX_PIXELS)


# --- training --------------------------------------------------------------------------


def trainer_command(job_file: Path) -> list[str]:
    """How the training process is started (docs/trainer-protocol.md)."""
    return [sys.executable, "-m", "ml", "train", "--job", str(job_file), "--json"]


# --- calibration -----------------------------------------------------------------------


def threshold(calibration_scores: Sequence[float], alpha: float) -> float:
    """The score above which p ≤ alpha."""
    from ml import calibration

    return float(calibration.threshold(calibration_scores, alpha))


def smallest_alpha(n: int) -> float:
    """The smallest false-call rate that `n` calibration pictures can promise: 1/(n+1)."""
    from ml import calibration

    return float(calibration.smallest_alpha(n))


def needed_normals(alpha: float) -> int:
    """How many calibration pictures a promise of `alpha` needs."""
    from ml import calibration

    return int(calibration.needed_normals(alpha))


def false_calls_interval(n: int, alpha: float, new: int, level: float) -> tuple[int, int]:
    """How many of `new` good parts a calibration of `n` will fail: a central interval."""
    from ml import calibration

    return calibration.false_calls_interval(n, alpha, new, level)


def auroc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Area under the ROC curve of scores against labels (True: defect)."""
    from ml import metrics

    return float(metrics.auroc(scores, labels))


def recall_at_tnr(scores: Sequence[float], labels: Sequence[bool], tnr: float) -> float:
    """Recall where `tnr` of the good parts pass."""
    from ml import metrics

    return float(metrics.recall_at_tnr(scores, labels, tnr).recall)


def template_auroc(folder: Path) -> float | None:
    """AUROC of the naive template on a folder in MVTec's layout; None where it cannot be had."""
    from ml import template
    from ml.data.pictures import PictureError

    try:
        return float(template.template_auroc(folder))
    except (ValueError, OSError, PictureError):
        return None


# --- scoring ---------------------------------------------------------------------------

_warm: "OrderedDict[str, Scorer]" = OrderedDict()
_loading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_keeping = threading.Lock()


def scorer(folder: str) -> "Scorer":
    """The model in `folder` (relative to the models folder), loaded once per process.

    The last three stay warm. Raises ml's ModelError, whose message is a sentence, when a file
    is missing or does not have the SHA-256 that its manifest names.
    """
    with _keeping:
        lock = _loading[folder]
    with lock:  # of this model alone: scoring with another does not wait for it
        found = _warm.get(folder) or _load(folder)
    with _keeping:
        _warm[folder] = found
        _warm.move_to_end(folder)
        while len(_warm) > WARM_MODELS:
            _warm.popitem(last=False)
    return found


def _load(folder: str) -> "Scorer":
    from ml.scoring import Scorer

    return Scorer.load(
        settings.MODELS_DIR / folder, weights_dir=settings.WEIGHTS_DIR, device=settings.DEVICE
    )


def is_warm(folder: str) -> bool:
    """Whether this process has the model in `folder` loaded."""
    return folder in _warm


def warm_up(folder: str) -> None:
    """Load the model in `folder` and score a grey picture: a first picture takes longer."""
    from PIL import Image

    scorer(folder).score([Image.new("RGB", (256, 256), "grey")])


def score(
    folder: str,
    pictures: "Sequence[PillowImage.Image]",
    between: Callable[[], None] | None = None,
) -> "list[ScoredPicture]":
    """Score pictures with the model in `folder`, in the same order. `between` is called often
    while the networks are at work; it may score other pictures."""
    return scorer(folder).score(list(pictures), between)


def heatmap(map_: "np.ndarray[Any, Any]", low: float, high: float) -> "PillowImage.Image":
    """The map as RGBA on the model's own absolute scale, transparent below `low`."""
    from ml import scoring

    return scoring.render_heatmap(map_, low, high)


# --- what good parts look like ----------------------------------------------------------

FINGERPRINT = 32  # pixels along an edge


def fingerprint(file: IO[bytes]) -> "np.ndarray[Any, Any]":
    """A picture of our own (a thumbnail) as 32 × 32 colours, uint8 (32, 32, 3)."""
    import numpy as np
    from PIL import Image

    with Image.open(file, formats=["WEBP"]) as picture:
        small = picture.convert("RGB").resize((FINGERPRINT, FINGERPRINT), Image.Resampling.BOX)
    return np.asarray(small)


def differences(
    one: "np.ndarray[Any, Any]", many: "np.ndarray[Any, Any]", left_out: "np.ndarray[Any, Any]"
) -> "np.ndarray[Any, Any]":
    """How much each of many fingerprints (N, 32, 32, 3) differs from one: the root mean square
    over all places but those `left_out` (32, 32), as a fraction of full brightness, (N,)."""
    import numpy as np

    apart = many[:, ~left_out].astype(np.float32) - one[~left_out].astype(np.float32)
    return np.sqrt(np.square(apart).mean(axis=(1, 2))) / 255.0


# --- weights ---------------------------------------------------------------------------


def weights_problem(network: str, file: Path) -> str:
    """Why `file` holds no weights of torchvision's `network`; empty when it does."""
    import torchvision
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = torchvision.models.get_model(network, weights=None)
    try:
        model.load_state_dict(load_file(file))
    except (SafetensorError, OSError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return ""
