#!/bin/sh
# Makes .venv and installs the project into it when pyproject.toml changed since the last time.
#   sh deploy/install.sh run|dev
# Leaves the seconds it took in .venv/.install-seconds. PYTHON=… chooses an interpreter.
set -eu
cd "$(dirname "$0")/.."
what=${1:-run}

suits() { # an interpreter of 3.11 or newer that can make a virtual environment with pip in it
	"$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

new_enough() {
	"$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
	# 3.11 and 3.12 first: for these every package comes built, the embedded Redis too.
	for name in ${PYTHON:-} python3.12 python3.11 python3 python python3.13 python3.14; do
		if suits "$name"; then
			echo "$name"
			return 0
		fi
	done
	for name in python3.12 python3.11 python3 python; do
		if new_enough "$name"; then
			echo "$name cannot make virtual environments: its venv module is missing. On Debian and Ubuntu:" >&2
			echo "  sudo apt install $(basename "$("$name" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")" >&2
			return 1
		fi
	done
	echo "Kintsugi needs Python 3.11 or newer, and none was found. Install it (https://www.python.org/downloads/)," >&2
	echo "or name one: make demo PYTHON=/path/to/python3.11" >&2
	return 1
}

# A virtual environment holds its own path: one that was moved here is made again.
if [ -e .venv ] && ! .venv/bin/python -c 'import sys, os; sys.exit(os.path.realpath(sys.prefix) != os.path.realpath(".venv"))' 2>/dev/null; then
	echo "The virtual environment in .venv does not work here (moved, or its Python is gone): making it anew"
	rm -rf .venv
fi
started=$(date +%s)
if [ ! -x .venv/bin/pip ]; then
	python=$(find_python)
	echo "Making the virtual environment .venv with $($python --version)"
	"$python" -m venv .venv
fi

mark=$(.venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(open("pyproject.toml", "rb").read()).hexdigest(), sys.version.split()[0])')
is_installed() { [ "$(cat ".venv/.installed-$1" 2>/dev/null || true)" = "$mark" ]; }

if is_installed dev || is_installed "$what"; then
	echo 0 >.venv/.install-seconds
	exit 0
fi
target=.
[ "$what" = dev ] && target='.[dev]'
echo "Installing (the first time this fetches PyTorch, which is large: some minutes)"
if ! .venv/bin/python -m pip install --disable-pip-version-check --quiet -e "$target"; then
	echo "The installation failed; pip says why above. It goes on where it stopped when you start it again." >&2
	exit 1
fi
echo "$mark" >".venv/.installed-$what"
echo $(($(date +%s) - started)) >.venv/.install-seconds
echo "Installed in $(cat .venv/.install-seconds) s"
