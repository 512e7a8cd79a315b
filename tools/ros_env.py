"""Run a command with the ROS 2 of the virtual environment, never with one of the system.

    python tools/ros_env.py python -m tavid_ros.demo

The repository's root comes first on PYTHONPATH, so that tavid_core and tavid_ros are the source
tree's; only the generated `tavid` interfaces come from the install space. `--installed` leaves the
root out: what runs then is what `colcon build` installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["build_environment", "find_install_space", "find_venv", "run_environment"]

ROOT = Path(__file__).resolve().parent.parent
DDS_PROFILE = ROOT / "config" / "fastdds_profile.xml"

# What a sourced ROS installation (any of it would mix two ROS versions) and make leave behind.
LEFT_BEHIND = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHONPATH",
    "PYTHONHOME",
    "ROS_ETC_DIR",
    "ROS_PACKAGE_PATH",
    "ROS_LOCALHOST_ONLY",
)


def find_venv(environment: Mapping[str, str] = os.environ) -> Path:
    """Find the virtual environment to use.

    Args:
        environment: Its variable VENV overrides the repository's own `.venv`.

    Returns:
        Absolute path; it need not exist yet.
    """
    return Path(ROOT, environment.get("VENV") or ".venv").absolute()


def find_install_space(venv: Path) -> Path:
    """Name the folder that `colcon build` installs into; it belongs to one virtual environment.

    Args:
        venv: The virtual environment.

    Returns:
        Absolute path; it need not exist yet.
    """
    return venv / "ros" / "install" / "tavid"


def site_packages(prefix: Path) -> Path:
    """Find the site-packages below a prefix.

    Args:
        prefix: A virtual environment or an install space.

    Returns:
        The folder; where there is none yet, the one of the running Python.
    """
    found = sorted(prefix.glob("lib/python3.*/site-packages"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return found[-1] if found else prefix / "lib" / version / "site-packages"


def _library_path(venv: Path, prefixes: list[Path], environment: Mapping[str, str]) -> str:
    """Put the ROS libraries first, and drop those of a ROS installation of the system."""
    foreign = [
        Path(prefix)
        for name in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH")
        for prefix in environment.get(name, "").split(os.pathsep)
        if prefix
    ]
    kept = [
        folder
        for folder in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        if folder and not any(Path(folder).is_relative_to(prefix) for prefix in foreign)
    ]
    own = [prefix / "lib" for prefix in prefixes]
    own += sorted(site_packages(venv).glob("ros_*.libs"))
    return os.pathsep.join(dict.fromkeys([*map(str, own), *kept]))


def build_environment(venv: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Make the environment for building the package with the wheels of a virtual environment.

    Args:
        venv: The virtual environment with the ROS wheels.
        environment: What to start from.

    Returns:
        A new environment without any trace of a ROS installation of the system.
    """
    result = {key: value for key, value in environment.items() if key not in LEFT_BEHIND}
    result |= {
        "VENV": str(venv),
        "VIRTUAL_ENV": str(venv),
        "PATH": os.pathsep.join([str(venv / "bin"), environment.get("PATH", os.defpath)]),
        "AMENT_PREFIX_PATH": str(venv),
        "CMAKE_PREFIX_PATH": str(venv),
        "LD_LIBRARY_PATH": _library_path(venv, [venv], environment),
        "ROS_VERSION": "2",
        "ROS_PYTHON_VERSION": "3",
        "ROS_DISTRO": "jazzy",
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        # The wheels start Python a second time to set LD_LIBRARY_PATH unless told it is done.
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }
    return result


def run_environment(
    venv: Path, environment: Mapping[str, str] = os.environ, *, from_source: bool = True
) -> dict[str, str]:
    """Make the environment for running nodes.

    Args:
        venv: The virtual environment with the ROS wheels and the built package.
        environment: What to start from.
        from_source: Whether tavid_core and tavid_ros come from the repository's source tree.

    Returns:
        A new environment.
    """
    install_space = find_install_space(venv)
    prefixes = [install_space, venv]
    result = build_environment(venv, environment)
    python_path = [ROOT] if from_source else []
    python_path.append(site_packages(install_space))
    result |= {
        "AMENT_PREFIX_PATH": os.pathsep.join(map(str, prefixes)),
        "LD_LIBRARY_PATH": _library_path(venv, prefixes, environment),
        "PYTHONPATH": os.pathsep.join(map(str, python_path)),
    }
    result.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if DDS_PROFILE.is_file():
        result.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(DDS_PROFILE))
    return result


def main(arguments: list[str]) -> int:
    """Replace this process by the command.

    Args:
        arguments: `[--installed] COMMAND [ARGUMENT ...]`.

    Returns:
        2 when nothing could be started; on success it does not return.
    """
    from_source = arguments[:1] != ["--installed"]
    command = arguments if from_source else arguments[1:]
    if not command:
        sys.stderr.write("usage: ros_env.py [--installed] COMMAND [ARGUMENT ...]\n")
        return 2
    venv = find_venv()
    environment = run_environment(venv, from_source=from_source)
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        sys.stderr.write(f"{command[0]} must be a command, got: {error}. Run 'make build' first.\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
