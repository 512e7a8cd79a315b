"""Run a command and tell what it took: `python -m benchmarks.child_usage FILE.json COMMAND ...`.

Linux counts the memory of whoever starts a process as the process's own until it runs its
program. This small process in between keeps a large benchmark out of the figure.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: A file for the figures, then the command; None for the process's own.

    Returns:
        The command's exit status.
    """
    file, *command = sys.argv[1:] if arguments is None else arguments
    status = subprocess.run(command, check=False).returncode
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"cpu_sec": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
    Path(file).write_text(json.dumps(figures), encoding="ascii")
    return status


if __name__ == "__main__":
    sys.exit(main())
