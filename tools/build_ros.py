"""Build the ROS package with colcon inside the virtual environment; skip it when nothing changed.

Only what shapes the generated interfaces counts as a change (action/, msg/, srv/, cmake/,
CMakeLists.txt, package.xml, and the environment itself): Python runs from the source tree.
`--all` builds anyway, which brings the installed copy of the Python packages up to date. `--test`
runs `colcon test` after the build and prints what `colcon test-result` says.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from ros_env import ROOT, build_environment, find_install_space, find_venv

__all__ = ["build", "hash_inputs", "run_tests"]

COPIED_FOLDERS = ("tavid_core/assets", "launch", "config")
INTERFACE_INPUTS = ("action", "msg", "srv", "cmake", "CMakeLists.txt", "package.xml")


def hash_inputs(root: Path, venv: Path) -> str:
    """Hash everything a rebuild depends on.

    Args:
        root: The repository.
        venv: The virtual environment; its own stamp counts too.

    Returns:
        A hexadecimal digest.
    """
    digest = hashlib.sha256()
    files = [venv / "tavid_env.stamp"]
    for name in INTERFACE_INPUTS:
        path = root / name
        files += sorted(path.rglob("*")) if path.is_dir() else [path]
    for path in files:
        if path.is_file():
            digest.update(f"{path.name}\0".encode())
            digest.update(path.read_bytes())
    # What colcon copies by pattern: a new file needs a build, a changed one runs from the source.
    for name in COPIED_FOLDERS:
        for path in sorted((root / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\0".encode())
    return digest.hexdigest()


def build(root: Path, venv: Path) -> int:
    """Run colcon.

    Args:
        root: The repository, which is the package's root.
        venv: The virtual environment with the ROS wheels.

    Returns:
        The exit status of colcon.
    """
    space = venv / "ros"
    space.mkdir(parents=True, exist_ok=True)
    log_path = space / "build_output.log"
    command = [
        str(venv / "bin" / "python"), "-m", "colcon", "--log-base", str(space / "log"),
        "build", "--base-paths", str(root), "--packages-select", "tavid",
        "--build-base", str(space / "build"), "--install-base", str(space / "install"),
        "--event-handlers", "console_direct+", "--cmake-args", "--no-warn-unused-cli",
        f"-DPython3_EXECUTABLE={venv / 'bin' / 'python'}", "-DBUILD_TESTING=ON",
        "-DCMAKE_BUILD_TYPE=Release",
    ]  # fmt: skip
    environment = build_environment(venv) | {"COLCON_HOME": str(space / "colcon")}
    with log_path.open("w", encoding="utf-8") as log:
        status = subprocess.run(
            command, cwd=space, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status:
        tail = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        sys.stderr.write("\n".join([*tail, f"The build failed; all of its output: {log_path}\n"]))
    return status


def run_tests(root: Path, venv: Path) -> int:
    """Run `colcon test` and `colcon test-result` on what was built.

    Args:
        root: The repository.
        venv: The virtual environment with the built package.

    Returns:
        0 if all tests passed.
    """
    space = venv / "ros"
    colcon = [str(venv / "bin" / "python"), "-m", "colcon", "--log-base", str(space / "log")]
    environment = build_environment(venv) | {"COLCON_HOME": str(space / "colcon")}
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    commands = (
        ["test", "--base-paths", str(root), "--packages-select", "tavid",
         "--build-base", str(space / "build"), "--install-base", str(space / "install"),
         "--event-handlers", "console_direct+", "--return-code-on-test-failure"],
        ["test-result", "--test-result-base", str(space / "build"), "--verbose"],
    )  # fmt: skip
    # The results of tests that are no more would count.
    shutil.rmtree(space / "build" / "tavid" / "test_results", ignore_errors=True)
    return max(
        subprocess.run([*colcon, *words], cwd=space, env=environment, check=False).returncode
        for words in commands
    )


def main(arguments: list[str]) -> int:
    """Build unless the stamp says that it is done.

    Args:
        arguments: `--all` to build in any case, `--test` to test then.

    Returns:
        0, or the exit status of colcon.
    """
    status = _build_once(find_venv(), is_forced="--all" in arguments)
    if status == 0 and "--test" in arguments:
        return run_tests(ROOT, find_venv())
    return status


def _build_once(venv: Path, *, is_forced: bool) -> int:
    stamp = venv / "ros" / "build.stamp"
    digest = hash_inputs(ROOT, venv)
    is_done = stamp.is_file() and stamp.read_text(encoding="utf-8") == digest
    if is_done and find_install_space(venv).is_dir() and not is_forced:
        return 0
    print("Building the ROS package (about 20 s) ...", flush=True)
    stamp.unlink(missing_ok=True)
    status = build(ROOT, venv)
    if status == 0:
        stamp.write_text(digest, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
