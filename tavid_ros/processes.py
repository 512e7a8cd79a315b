"""Nodes as child processes, for the demo: started with a parameter file, ended for sure."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

__all__ = ["NodeProcess"]

_END_SEC = 4.0
_NUM_LOG_LINES = 12


class NodeProcess:
    """One node of this package in its own process; a context manager that ends it.

    Args:
        module: As "tavid_ros.planner_node".
        parameters: Of the node; strings stay strings, whatever they look like.
        folder: For the parameter file and the log.
        namespace: Of the node, "" = the root.
    """

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, bool | int | float | str | list[str]],
        folder: Path,
        *,
        namespace: str = "",
    ) -> None:
        name = module.rpartition(".")[2]
        self.log_path = folder / f"{name}.log"
        parameter_path = folder / f"{name}.yaml"
        # JSON is YAML, and its quoting keeps a prompt like "1.0" or "{" a string.
        document = {"/**": {"ros__parameters": dict(parameters)}}
        parameter_path.write_text(json.dumps(document))
        command = [sys.executable, "-m", module, "--ros-args", "--params-file", str(parameter_path)]
        if namespace:
            command += ["-r", f"__ns:=/{namespace.strip('/')}"]
        with self.log_path.open("wb") as log:
            # Its own session: Ctrl-C reaches the demo only, which then ends its nodes in order.
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def exit_status(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def read_log_tail(self) -> str:
        """Read what the node said last.

        Returns:
            At most twelve lines.
        """
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_NUM_LOG_LINES:])

    def end(self) -> int:
        """Ask the node to end, and make it end if it does not.

        Returns:
            Its exit status.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_END_SEC)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
