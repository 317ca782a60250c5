#!/bin/sh
# Make an empty virtual environment with pip in it: sh tools/make-environment.sh PYTHON FOLDER
# Works where Debian's python3-venv (and so ensurepip) is missing, as long as PYTHON has pip.
set -eu
python=$1
folder=$2

if ! command -v "$python" >/dev/null; then
    echo "make: '$python' was not found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "make: $("$python" --version) is too old; qieval needs Python 3.11 or newer." >&2
    echo "make: name a newer one: make PYTHON=python3.12" >&2
    exit 1
fi
if [ -x "$folder/bin/python" ] && "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

echo "make: building $folder from requirements.lock (once; a minute or two)" >&2
rm -rf "$folder"
if "$python" -c 'import ensurepip' 2>/dev/null && "$python" -m venv "$folder" >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$folder"
if ! "$python" -m venv --without-pip "$folder"; then
    echo "make: '$python' cannot make virtual environments. On Debian: apt-get install python3-venv" >&2
    exit 1
fi
if ! "$python" -m pip --python "$folder/bin/python" install --quiet pip; then
    rm -rf "$folder"
    echo "make: '$python' has neither venv with pip nor a pip of version 22.3 or newer." >&2
    echo "make: on Debian: apt-get install python3-venv python3-pip" >&2
    exit 1
fi
