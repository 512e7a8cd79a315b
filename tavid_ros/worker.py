"""The child process that runs the model: `python -m tavid_ros.worker`, started by the node.

It knows no ROS. It lives and dies with its parent: the kernel kills it when the parent's thread
that started it ends, and it leaves when the socket closes. One thread reads the socket, so that a
cancel is seen while the model works; the main thread plans.

Messages to it: load, plan, cancel. Messages from it: ready, load_failed, progress, result, failure.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tavid_core.errors import CanceledError, ConfigError, ErrorCode, NotReadyError, TavidError
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest
from tavid_ros import plan_codec
from tavid_ros.child import connect_to_parent, is_out_of_memory
from tavid_ros.wire import Message, receive_message, send_message

if TYPE_CHECKING:
    from tavid_core.lifting.body_model import BodyModel

__all__ = ["BACKENDS", "Planner", "Worker", "main"]

_LOGGER = logging.getLogger("tavid.worker")
_MAX_MESSAGE_CHARACTERS = 800
# Of the action: the target's mask and the actor's.
MAX_MASK_SLOTS = 2


class Planner(Protocol):
    """What a backend gives."""

    def plan(
        self,
        request: PlanRequest,
        on_progress: Callable[[PlanProgress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> InteractionPlan:
        """Answer a request, see `tavid_core.planner.InteractionPlanner.plan`."""


def _load_tavid(options: Mapping[str, str]) -> Planner:
    from tavid_core.lifting.sources import load_detector, load_lifter
    from tavid_core.planner import InteractionPlanner

    planner = InteractionPlanner.from_pretrained(
        options["model"],
        options["adapter"] or None,
        device=options["device"],
        dtype=options["dtype"],
        offload=options["offload"],
        vae_tiling=bool(options.get("vae_tiling", False)),
        detector=load_detector(options.get("keypoints", "mini")),
        lifter=load_lifter(options.get("body_fit", "none"), options.get("body_model")),
    )
    num_slots = planner.sampler.pipeline.num_mask_slots
    if num_slots > MAX_MASK_SLOTS:
        # Else every goal would be refused for masks that it cannot name.
        raise ConfigError(
            f"adapter must have at most {MAX_MASK_SLOTS} mask slots, which a goal can fill: target "
            f"and actor, got {num_slots}. Use another one, or tavid plan --extra-mask."
        )
    return planner


def _load_fake(options: Mapping[str, str]) -> Planner:
    from tavid_ros.fake_planner import FakePlanner

    return FakePlanner.from_pretrained(options.get("model", "mini"))


# The only things that a parameter can make the worker load.
BACKENDS: Mapping[str, Callable[[Mapping[str, str]], Planner]] = {
    "tavid": _load_tavid,
    "fake": _load_fake,
}


def _leave_at_once() -> None:
    # Not sys.exit: the main thread may be inside the model for a long time.
    os._exit(0)


class Worker:
    """Serves the node at the other end of a socket.

    Args:
        connection: Connected stream socket.
        leave: Called when the node is gone.
    """

    def __init__(
        self, connection: socket.socket, leave: Callable[[], None] = _leave_at_once
    ) -> None:
        self._connection = connection
        self._leave = leave
        self._send_lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._canceled_jobs: set[str] = set()
        self._planner: Planner | None = None
        self._mesh_body: BodyModel | None = None

    def run(self) -> None:
        """Load and plan as the node says, until it is gone."""
        threading.Thread(target=self._read, daemon=True).start()
        while (message := self._inbox.get()) is not None:
            header, arrays = message
            if header["type"] == "load":
                self._load(header)
            elif header["type"] == "plan":
                self._plan(str(header["job"]), header, arrays)

    def _read(self) -> None:
        try:
            while (message := receive_message(self._connection)) is not None:
                if message[0]["type"] == "cancel":
                    self._canceled_jobs.add(str(message[0]["job"]))
                else:
                    self._inbox.put(message)
        except OSError as error:
            _LOGGER.warning("socket of the node broke: %s", error)
        self._inbox.put(None)
        self._leave()

    def _send(self, header: Mapping[str, object], arrays: plan_codec.Arrays | None = None) -> None:
        with self._send_lock:
            send_message(self._connection, header, arrays)

    def _load(self, header: Mapping[str, object]) -> None:
        start = time.monotonic()
        try:
            if header["backend"] not in BACKENDS:
                raise ConfigError(
                    f"backend must be one of {', '.join(BACKENDS)}, got {header['backend']!r}. "
                    "Use tavid."
                )
            self._planner = BACKENDS[header["backend"]](header["options"])
            self._mesh_body = _load_mesh_body(header["options"])
        except Exception as error:  # noqa: BLE001 - edge of the process, told to the node
            self._send({"type": "load_failed", **_describe(error)})
        else:
            load_time_sec = time.monotonic() - start
            self._send({"type": "ready", "load_time_sec": load_time_sec, **_measure_memory()})

    def _plan(self, job: str, header: Mapping[str, object], arrays: plan_codec.Arrays) -> None:
        def should_stop() -> bool:
            return job in self._canceled_jobs

        def on_progress(progress: PlanProgress) -> None:
            self._send({"type": "progress", "job": job, **plan_codec.pack_progress(progress)})

        failure: dict[str, object] | None = None
        try:
            if self._planner is None:
                raise NotReadyError(
                    "the model must be loaded first, got a plan. Configure the node."
                )
            request = plan_codec.unpack_request(header, arrays)
            plan = self._planner.plan(request, on_progress, should_stop)
            provenance = {**plan.provenance, **dict(header.get("provenance", {}))}
            plan = dataclasses.replace(plan, provenance=provenance)
            if should_stop():
                raise CanceledError("plan must not go on, got a cancel at lift. Ask again.")
            packed, plan_arrays = plan_codec.pack_plan(plan)
            saved = _save(plan, str(header["save_to"]), self._mesh_body)
        except Exception as error:  # noqa: BLE001 - edge of the process, told to the node
            failure = _describe(error)
        else:
            told = {**packed, **saved, **_measure_memory()}
            self._send({"type": "result", "job": job, **told}, plan_arrays)
        finally:
            self._canceled_jobs.discard(job)
        if failure is not None:
            # Only now: an error keeps the frames, and with them the tensors, of what raised it.
            _free_memory()
            self._send({"type": "failure", "job": job, **failure, **_measure_memory()})


def _describe(error: Exception) -> dict[str, object]:
    if isinstance(error, TavidError):
        code, message = error.code, str(error)
    elif is_out_of_memory(error):
        code = ErrorCode.OUT_OF_MEMORY
        message = (
            f"memory must hold the model and a plan, got {type(error).__name__}: {error}. "
            "Set 'offload', ask for fewer frames, or close other programs on the GPU."
        )
    else:
        code = ErrorCode.MODEL_ERROR
        message = (
            f"the model must answer, got {type(error).__name__}: {error}. See the worker's log."
        )
    if code is not ErrorCode.CANCELED:
        _LOGGER.error("%s", message, exc_info=not isinstance(error, TavidError))
    return {"code": int(code), "message": message[:_MAX_MESSAGE_CHARACTERS]}


def _load_mesh_body(options: Mapping[str, str]) -> BodyModel | None:
    from tavid_core.lifting.sources import load_mesh_body

    return load_mesh_body(options.get("body_fit", "none"), options.get("body_model"))


def _save(plan: InteractionPlan, folder: str, mesh_body: BodyModel | None) -> dict[str, str]:
    if not folder:
        return {"folder": "", "save_error": ""}
    from tavid_core.io import save_plan

    # Whatever goes wrong here, the plan itself is fine.
    try:
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        save_plan(plan, folder, body_model=mesh_body)
    except Exception as error:
        _LOGGER.exception("plan could not be saved")
        return {"folder": "", "save_error": f"the plan could not be saved to {folder}: {error}"}
    return {"folder": folder, "save_error": ""}


def _measure_memory() -> dict[str, int]:
    """Tell the GPU memory that this process keeps; empty without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    num_bytes = sum(torch.cuda.memory_reserved(gpu) for gpu in range(torch.cuda.device_count()))
    return {"gpu_memory_bytes": num_bytes}


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(args: list[str] | None = None) -> int:
    """Serve one node until it ends.

    Args:
        args: Command line, without the program's name.

    Returns:
        The exit code; in practice the process is ended by its parent.
    """
    Worker(connect_to_parent(args, str(main.__doc__))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
