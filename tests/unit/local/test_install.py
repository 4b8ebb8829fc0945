"""What `make demo` says on a machine where it cannot make its virtual environment."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "install.sh"
TOOLS = ("sh", "dirname", "basename", "date", "cat", "rm")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout, and a machine whose PATH holds a few tools and no Python."""
    (tmp_path / "project" / "deploy").mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "project" / "deploy")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    return tmp_path


def install(bare: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "deploy/install.sh"],
        cwd=bare / "project",
        env={"PATH": str(bare / "bin")},
        capture_output=True,
        text=True,
    )


def pretend(bare: Path, name: str, script: str) -> None:
    file = bare / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_without_python_it_says_which_one_to_install(bare: Path) -> None:
    tried = install(bare)
    assert tried.returncode != 0
    assert "needs Python 3.11 or newer, and none was found" in tried.stderr
    assert not (bare / "project" / ".venv").exists()


def test_an_old_python_is_none(bare: Path) -> None:
    pretend(bare, "python3", "exit 1")
    assert "none was found" in install(bare).stderr


def test_a_python_without_venv_is_named_with_the_package_to_install(bare: Path) -> None:
    pretend(
        bare,
        "python3.11",
        'case "$2" in *ensurepip*) exit 1;; *print*) echo python3.11-venv;; *) exit 0;; esac',
    )
    tried = install(bare)
    assert tried.returncode != 0
    assert "venv module is missing" in tried.stderr
    assert "sudo apt install python3.11-venv" in tried.stderr


def test_nothing_is_installed_again_while_the_project_file_is_the_same(bare: Path) -> None:
    project = bare / "project"
    (project / "pyproject.toml").write_text("[project]\n")
    (project / ".venv" / "bin").mkdir(parents=True)
    real = sys.executable
    log = bare / "pip.log"
    pretend(bare, "python", f'case "$*" in *pip*) echo "$*" >>{log};; *) exec {real} "$@";; esac')
    (bare / "bin" / "python").rename(project / ".venv" / "bin" / "python")
    # The stand-in has the prefix of the real interpreter: keep the check for moved folders out.
    script = project / "deploy" / "install.sh"
    script.write_text(script.read_text().replace("if [ -e .venv ] &&", "if false &&"))
    pretend(bare, "pip", "")
    (bare / "bin" / "pip").rename(project / ".venv" / "bin" / "pip")

    for content, installs in (("[project]\n", 1), ("[project]\n", 1), ("[project]\n#\n", 2)):
        (project / "pyproject.toml").write_text(content)
        done = install(bare)
        assert done.returncode == 0, done.stderr
        assert len(log.read_text().splitlines()) == installs
