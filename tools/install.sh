#!/bin/sh
# Make .venv as the lock says, or return at once if it is so already. Called by make; needs Python 3.11 and nothing else.
#   PYTHON=NAME  build on this Python     TORCH=cpu  torch's CPU build, from $TORCH_INDEX (remembered in .venv)
#   PINS=FILE    instead of the lock: what pyproject.toml asks for, in the versions of this constraints file (for tests)
set -eu
cd "$(dirname "$0")/.."
PY=.venv/bin/python
PINS=${PINS:-requirements.lock}
TORCH=${TORCH:-$(cat .venv/.torch 2>/dev/null || true)}

stop() {
    echo "$1" >&2
    exit 1
}

suits() { # a Python that can make .venv
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

state() { # what .venv was built from; differs as soon as anything of it does
    $PY -c 'import sys; print(sys.version, sys.prefix)'
    cksum "$PINS" pyproject.toml
    echo "torch: ${TORCH:-as in the lock}"
}

pip() { # its warnings go to a file, and only what explains a failure comes back
    quiet=--quiet
    if [ -t 1 ]; then quiet=; fi
    if $PY -m pip install $quiet --disable-pip-version-check --no-input --retries 2 "$@" 2>.venv/pip.log; then return; fi
    if grep -qiE 'connection broken|NewConnectionError|NameResolution|timed out' .venv/pip.log; then
        stop "No connection to the package index: connect this machine to the network, then give the same command again; it goes on where it stopped."
    fi
    tail -n 20 .venv/pip.log >&2
    stop "The installation did not finish; the lines above say why. Given again, the same command goes on where it stopped."
}

if [ "${TORCH:-cpu}" != cpu ]; then stop "TORCH=$TORCH is not known; there is TORCH=cpu, or leave it out."; fi
if [ -f .venv/.ready ] && [ "$(state 2>/dev/null)" = "$(cat .venv/.ready)" ]; then exit 0; fi
rm -f .venv/.ready

if [ -f .venv/.making ] || ! suits $PY || ! $PY -m pip --version >/dev/null 2>&1; then
    base=
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if suits "$name"; then base=$name && break; fi
    done
    if [ -z "$base" ]; then
        stop "These lessons need Python 3.11 or newer with its venv module, and ${PYTHON:-none of python3.11, python3.12, python3.13, python3} is not one; on Debian or Ubuntu, 'apt install python3 python3-venv' brings it, and PYTHON=/path/to/python names one elsewhere."
    fi
    echo "Making .venv on $("$base" --version)."
    "$base" -m venv --clear --without-pip .venv
    touch .venv/.making
    $PY -m ensurepip --default-pip >/dev/null
    rm .venv/.making
fi

# What an interrupted installation left half-written is not there, as far as pip is concerned.
for info in .venv/lib/python3*/site-packages/*.dist-info; do
    if [ -d "$info" ] && [ ! -f "$info/INSTALLER" ]; then rm -rf "$info"; fi
done
rm -rf .venv/lib/python3*/site-packages/~*

echo "Installing into .venv. The first time this takes some minutes."
if [ -n "$TORCH" ]; then
    pip --no-deps --index-url "$TORCH_INDEX" $(grep -E '^(torch|torchvision)==' "$PINS")
    echo "$TORCH" >.venv/.torch
fi
if [ "$PINS" = requirements.lock ]; then
    pip --requirement requirements.lock
    pip --no-deps --no-build-isolation --editable .
else
    pip --constraint "$PINS" --editable '.[dev]'
fi
$PY tools/settle.py
state >.venv/.ready
