"""Installing weights: the right file or nothing."""

import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from inspection.errors import UserError
from inspection.services import weights


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.WEIGHTS_DIR = tmp_path / "weights"
    return tmp_path / "weights"


@pytest.fixture
def random_squeezenet(tmp_path: Path) -> Path:
    """A file of the right shape with other numbers in it."""
    import torchvision
    from safetensors.torch import save_file

    file = tmp_path / "squeezenet1_1_imagenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)
    return file


def known_as(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Let the product know `file`'s hash, as it knows that of the real weights."""
    known = weights.KnownWeights(file.name, "squeezenet1_1", weights._hash(file))
    monkeypatch.setitem(weights.KNOWN, file.name, known)


def test_a_known_file_is_installed_with_its_hash_beside_it(
    random_squeezenet: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_as(monkeypatch, random_squeezenet)
    done = weights.install(random_squeezenet)
    assert weights.installed() == [done]
    assert (folder / random_squeezenet.name).read_bytes() == random_squeezenet.read_bytes()
    assert (folder / (random_squeezenet.name + ".sha256")).read_text().startswith(done.sha256)


def test_other_numbers_under_a_known_name_are_refused(random_squeezenet: Path) -> None:
    with pytest.raises(UserError, match="damaged or another file"):
        weights.install(random_squeezenet)
    assert weights.installed() == []


def test_the_right_hash_of_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "squeezenet1_1_imagenet.safetensors"
    file.write_bytes(b"\x80\x04 a pickle, or anything")
    known_as(monkeypatch, file)
    with pytest.raises(UserError, match="holds no squeezenet1_1 weights"):
        weights.install(file)


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    file = tmp_path / "vgg16_imagenet.safetensors"
    save_file({"features.0.weight": torch.zeros(1)}, file)
    with pytest.raises(UserError, match="holds no vgg16 weights"):
        weights.install(file, weights._hash(file))


def test_a_network_without_a_known_hash_needs_one_from_its_source(tmp_path: Path) -> None:
    file = tmp_path / "vgg16_imagenet.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(UserError, match="--sha256"):
        weights.install(file)
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        weights.install(file, "abc")


def test_an_unknown_name_is_refused_by_the_command_with_the_names_that_are_known(
    random_squeezenet: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copy(random_squeezenet, tmp_path / "resnet50.safetensors"))
    with pytest.raises(CommandError, match=r"squeezenet1_1_imagenet\.safetensors"):
        call_command("install_weights", str(other))
