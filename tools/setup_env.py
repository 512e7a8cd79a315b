"""Fill the virtual environment with the pinned packages; skip it when nothing changed.

Started by tools/setup.sh, with the environment's own Python or, when there is none yet, with the
one that makes it. Only the standard library is used here.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shlex
import subprocess
import sys
import threading
import urllib.request
import venv as venv_module
from collections.abc import Callable, Mapping
from pathlib import Path

from ros_env import ROOT, find_venv

__all__ = ["choose_torch_options", "hash_inputs", "install", "rewrite_include_folders"]

CONSTRAINTS = ROOT / "constraints.txt"
WHEELS = ROOT / "tools" / "ros_wheels.txt"
STAMP_NAME = "tavid_env.stamp"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SEC = 5.0

# With one of these in pip's configuration somebody has decided where packages come from.
OWN_SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")

# The machine that built the ROS wheels left its own folders in their CMake files.
FOREIGN_NUMPY = re.compile(r"/opt/python/[^;\"\s]*/site-packages/numpy/_core/include")
FOREIGN_PYTHON = re.compile(r"/opt/python/[^;\"\s]*/include/python3\.\d+")


def hash_inputs() -> str:
    """Hash everything that decides what is installed.

    Returns:
        A hexadecimal digest.
    """
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.", maxsplit=1)[0]
    parts = [project, Path(__file__).read_text(encoding="utf-8")]
    parts += [path.read_text(encoding="utf-8") for path in (CONSTRAINTS, WHEELS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_reachable(url: str, timeout_sec: float = PROBE_SEC) -> bool:
    """Ask whether a page can be fetched, within a limited time.

    Args:
        url: The page.
        timeout_sec: Longest time; a name that does not resolve counts against it too.

    Returns:
        Whether it answered in time.
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=timeout_sec) as page:  # noqa: S310 - a constant
                answers.append(page.status == 200)
        except (OSError, http.client.HTTPException):
            answers.append(False)

    # A thread, since no timeout of a socket covers the lookup of its name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_sec)
    return answers == [True]


def choose_torch_options(
    environment: Mapping[str, str],
    pip_settings: str,
    can_fetch: Callable[[str], bool] = is_reachable,
) -> list[str]:
    """Choose where torch comes from: PyPI's Linux build brings gigabytes of CUDA.

    Args:
        environment: TAVID_PIP_ARGS, even empty, means that the user has chosen.
        pip_settings: What `pip config list` prints: one `section.name='value'` per line.
        can_fetch: Tells whether a page answers; asked only when nobody has chosen.

    Returns:
        Options of pip for torch alone: its index of CPU builds, or nothing.
    """
    names = {line.split("=", maxsplit=1)[0].split(".")[-1] for line in pip_settings.splitlines()}
    is_chosen = "TAVID_PIP_ARGS" in environment or not names.isdisjoint(OWN_SOURCES)
    if is_chosen or not can_fetch(f"{TORCH_CPU_INDEX}/torch/"):
        return []
    return ["--extra-index-url", TORCH_CPU_INDEX]


def _list_pip_settings(python: Path) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "config", "list"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def _show(line: str, num_found: int) -> None:
    """Keep one line up to date on a terminal; stay silent in a log."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {num_found:3d} packages  {line.strip()[:70]}", end="", flush=True)


def _pip(python: Path, arguments: list[str], log_path: Path) -> None:
    """Run pip with its output in a log; end with its last lines if it fails."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    num_found = 0
    with (
        log_path.open("a", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            if line.startswith(("Collecting", "Requirement already", "Installing")):
                num_found += 1
                _show(line, num_found)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    if process.returncode:
        tail = log_path.read_text(encoding="utf-8").splitlines()[-15:]
        sys.exit("\n".join([*tail, f"pip failed; all of its output: {log_path}"]))


def rewrite_include_folders(venv: Path, python: Path) -> int:
    """Point the ROS wheels' CMake files at this environment's Python and numpy headers.

    Args:
        venv: The virtual environment.
        python: Its interpreter.

    Returns:
        How many files were changed.
    """
    query = (
        "import sysconfig, numpy; "
        "print(sysconfig.get_paths()['include']); print(numpy.get_include())"
    )
    answer = subprocess.run([str(python), "-c", query], check=True, capture_output=True, text=True)
    python_include, numpy_include = answer.stdout.splitlines()
    num_changed = 0
    for path in sorted(venv.glob("share/*/cmake/*.cmake")):
        text = path.read_text(encoding="utf-8")
        fixed = FOREIGN_NUMPY.sub(lambda _: numpy_include, text)
        fixed = FOREIGN_PYTHON.sub(lambda _: python_include, fixed)
        if fixed != text:
            path.write_text(fixed, encoding="utf-8")
            num_changed += 1
    return num_changed


def install(venv: Path) -> None:
    """Create the environment if there is none, and install what is missing.

    Args:
        venv: The virtual environment.
    """
    python = venv / "bin" / "python"
    if not python.exists():
        venv_module.create(venv, with_pip=True, symlinks=True)
    print(f"Installing the pinned packages into {venv} (2 GB, a few minutes) ...", flush=True)
    log_path = venv / "pip_install.log"
    log_path.unlink(missing_ok=True)
    shared = ["-c", str(CONSTRAINTS), *shlex.split(os.environ.get("TAVID_PIP_ARGS", ""))]
    has_pip = subprocess.run([str(python), "-c", "import pip"], capture_output=True, check=False)
    if has_pip.returncode:  # an earlier run was stopped half-way
        subprocess.run([str(python), "-m", "ensurepip"], check=True, capture_output=True)
    _pip(python, [*shared, "pip", "setuptools"], log_path)
    torch_options = choose_torch_options(os.environ, _list_pip_settings(python))
    if torch_options:  # a step of its own, so that this index serves nothing else
        _pip(python, [*shared, *torch_options, "torch"], log_path)
    _pip(
        python,
        [*shared, "--no-build-isolation", "-r", str(WHEELS), "-e", ".[train,data,arm,viz,dev]"],
        log_path,
    )
    rewrite_include_folders(venv, python)


def main() -> int:
    """Install unless the stamp says that it is done.

    Returns:
        0; failures end the process with a message.
    """
    venv = find_venv()
    stamp = venv / STAMP_NAME
    digest = hash_inputs()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return 0
    stamp.unlink(missing_ok=True)
    install(venv)
    stamp.write_text(digest, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
