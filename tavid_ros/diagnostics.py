"""The node's own state as diagnostics.

OK: fine, or nothing to say yet. WARN: it works, and somebody should look. ERROR: it does not work.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import psutil
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from tavid_core.errors import ErrorCode
from tavid_ros.goal_runner import LastPlan
from tavid_ros.goal_statistics import GoalStatistics
from tavid_ros.input_watchdog import InputProblem
from tavid_ros.namesakes import Namesakes
from tavid_ros.output_frame import OutputFrame
from tavid_ros.publishers import PlanPublishers
from tavid_ros.worker_job import WorkerState
from tavid_ros.worker_process import WorkerProcess

__all__ = [
    "describe_callbacks",
    "describe_goals",
    "describe_inputs",
    "describe_last_plan",
    "describe_memory",
    "describe_namesakes",
    "describe_outputs",
    "describe_target",
    "describe_transforms",
    "describe_worker",
    "make_diagnostics",
]

_MAX_RECENT_DEATHS = 3
_REQUIRED_TOPICS = ("image", "target_mask")
_BYTES_PER_MB = 1_000_000
_LEAST_AVAILABLE_SHARE = 0.05


def _make_status(
    name: str, level: bytes, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


def describe_worker(worker: WorkerProcess | None) -> DiagnosticStatus:
    """Tell how the model's process is.

    Args:
        worker: None while the node is not configured.

    Returns:
        ERROR if it cannot be loaded or died three times in five minutes, WARN while restarting.
    """
    if worker is None:
        return _make_status("worker", DiagnosticStatus.OK, "not configured", {})
    state, deaths = worker.state, worker.num_recent_deaths
    level = DiagnosticStatus.OK
    if state is WorkerState.FAILED or deaths >= _MAX_RECENT_DEATHS:
        level = DiagnosticStatus.ERROR
    elif deaths or state is WorkerState.BACKOFF:
        level = DiagnosticStatus.WARN
    error = worker.last_error
    values = {
        "pid": worker.pid or "",
        "load_time_sec": "" if worker.load_time_sec is None else f"{worker.load_time_sec:.2f}",
        "deaths_in_5_minutes": deaths,
        "last_error": "" if error is None else error.message,
    }
    return _make_status("worker", level, state.value, values)


def describe_memory(worker: WorkerProcess | None) -> DiagnosticStatus:
    """Tell how much memory node and worker take.

    Args:
        worker: None while the node is not configured.

    Returns:
        WARN if the machine has less than a twentieth of its memory left. The GPU's memory is what
        the worker last told; empty without a GPU.
    """
    machine = psutil.virtual_memory()
    gpu_bytes = None if worker is None else worker.gpu_memory_bytes
    values = {
        "node_mb": _measure_rss_mb(os.getpid()),
        "worker_mb": "" if worker is None else _measure_rss_mb(worker.pid),
        "worker_gpu_mb": "" if gpu_bytes is None else f"{gpu_bytes / _BYTES_PER_MB:.0f}",
        "machine_available_mb": f"{machine.available / _BYTES_PER_MB:.0f}",
    }
    if machine.available < _LEAST_AVAILABLE_SHARE * machine.total:
        return _make_status(
            "memory", DiagnosticStatus.WARN, "the machine is short of memory", values
        )
    return _make_status("memory", DiagnosticStatus.OK, "fine", values)


def _measure_rss_mb(pid: int | None) -> str:
    if pid is None:
        return ""
    try:
        return f"{psutil.Process(pid).memory_info().rss / _BYTES_PER_MB:.0f}"
    except psutil.Error:
        # It may end at any time.
        return ""


def describe_inputs(
    ages_sec: Mapping[str, float],
    num_malformed: Mapping[str, int],
    max_age_sec: float,
    rates_hz: Mapping[str, float] | None = None,
    num_lost: Mapping[str, int] | None = None,
    problems: Sequence[InputProblem] = (),
) -> DiagnosticStatus:
    """Tell how old and how frequent the inputs are, and why one does not come.

    Args:
        ages_sec: By topic.
        num_malformed: Refused messages by topic.
        max_age_sec: From which age a goal would refuse them; 0 = none.
        rates_hz: By topic.
        num_lost: Messages that DDS gave up on the way, by topic.
        problems: Of the watchdog.

    Returns:
        ERROR if a stream has fallen silent for long; WARN if the watchdog found another problem,
        image or mask are stale, or malformed messages came. Missing publishers are no fault: goals
        may bring the inputs.
    """
    values = {f"{topic}_age_sec": f"{age:.2f}" for topic, age in sorted(ages_sec.items())}
    values |= {
        f"{topic}_rate_hz": f"{rate:.1f}" for topic, rate in sorted((rates_hz or {}).items())
    }
    values |= {f"{topic}_malformed": count for topic, count in sorted(num_malformed.items())}
    values |= {f"{topic}_lost": count for topic, count in sorted((num_lost or {}).items())}
    values |= {f"{problem.name}_problem": problem.text for problem in problems}
    wrong = [problem for problem in problems if problem.is_warning]
    missing = [problem.name for problem in problems if not problem.is_warning]
    stale = [
        topic
        for topic in _REQUIRED_TOPICS
        if max_age_sec and ages_sec.get(topic, 0.0) > max_age_sec
    ]
    if wrong:
        message = "; ".join(f"{problem.name}: {problem.kind}" for problem in wrong)
        is_error = any(problem.is_error for problem in wrong)
        level = DiagnosticStatus.ERROR if is_error else DiagnosticStatus.WARN
    elif stale:
        message, level = f"stale: {', '.join(stale)}", DiagnosticStatus.WARN
    elif any(num_malformed.values()):
        message, level = "malformed messages were refused", DiagnosticStatus.WARN
    elif missing:
        message, level = f"no publisher of {', '.join(missing)}", DiagnosticStatus.OK
    else:
        message, level = "fine", DiagnosticStatus.OK
    return _make_status("inputs", level, message, values)


def describe_last_plan(last_plan: LastPlan | None) -> DiagnosticStatus:
    """Tell how the last goal ended.

    Args:
        last_plan: None before the first goal.

    Returns:
        WARN if it failed.
    """
    if last_plan is None:
        return _make_status("last_plan", DiagnosticStatus.OK, "none yet", {})
    fine = (ErrorCode.NONE, ErrorCode.CANCELED)
    level = DiagnosticStatus.OK if last_plan.code in fine else DiagnosticStatus.WARN
    values = {
        "duration_sec": f"{last_plan.duration_sec:.2f}",
        "plan_uri": last_plan.plan_uri,
        "message": last_plan.message,
    }
    return _make_status("last_plan", level, last_plan.code.name, values)


def describe_goals(goals: GoalStatistics | None) -> DiagnosticStatus:
    """Tell how goals ended since the node was configured.

    Args:
        goals: None while the node is not configured.

    Returns:
        Always OK: a count is no fault. Keys are error codes, and the median duration of the last
        ten plans.
    """
    counts = {} if goals is None else goals.counts
    values: dict[str, object] = {code.name: count for code, count in counts.items()}
    if goals is not None and goals.median_sec is not None:
        values["median_duration_sec"] = f"{goals.median_sec:.2f}"
    message = f"{sum(counts.values())} goal(s)"
    return _make_status("goals", DiagnosticStatus.OK, message, values)


def describe_outputs(publishers: PlanPublishers | None) -> DiagnosticStatus:
    """Tell whether there is a plan to follow, and for how long.

    Args:
        publishers: None while the node is not configured.

    Returns:
        Always OK.
    """
    is_shown = publishers is not None and publishers.is_plan_shown
    remaining_sec = publishers.remaining_sec if is_shown else None
    values = {"expires_in_sec": "" if remaining_sec is None else f"{remaining_sec:.1f}"}
    message = "a plan is published" if is_shown else "no plan is published"
    return _make_status("outputs", DiagnosticStatus.OK, message, values)


def describe_transforms(output_frame: OutputFrame | None) -> DiagnosticStatus:
    """Tell whether plans get into the frame that they are wanted in.

    Args:
        output_frame: None while the node is not configured.

    Returns:
        ERROR if the last goal found no transform: it was aborted.
    """
    if output_frame is None or not output_frame.target_frame:
        return _make_status("transforms", DiagnosticStatus.OK, "not needed", {})
    values = {"target_frame": output_frame.target_frame}
    if output_frame.problem:
        return _make_status("transforms", DiagnosticStatus.ERROR, output_frame.problem, values)
    return _make_status("transforms", DiagnosticStatus.OK, "fine", values)


def describe_callbacks(num_failures: Mapping[str, int]) -> DiagnosticStatus:
    """Tell which callbacks of the node failed.

    Args:
        num_failures: Since the start, by callback.

    Returns:
        ERROR if any did: that is a defect of the node, and its log has the traceback.
    """
    if not any(num_failures.values()):
        return _make_status("callbacks", DiagnosticStatus.OK, "fine", {})
    values = {f"{name} failed": count for name, count in sorted(num_failures.items())}
    return _make_status("callbacks", DiagnosticStatus.ERROR, "failures, see the log", values)


def describe_namesakes(namesakes: Namesakes) -> DiagnosticStatus:
    """Tell whether other nodes have this one's name.

    Args:
        namesakes: After a look.

    Returns:
        WARN if there are, ERROR once they cannot be the shadow of a killed process.
    """
    if not namesakes.count:
        return _make_status("name", DiagnosticStatus.OK, "unique", {})
    level = DiagnosticStatus.ERROR if namesakes.is_certain else DiagnosticStatus.WARN
    message = f"{namesakes.count} other node(s) of this name"
    return _make_status("name", level, message, {"others": namesakes.count})


def describe_target(
    state: str, values: Mapping[str, object], *, is_stale: bool = False
) -> DiagnosticStatus:
    """Tell how a segmenter's target is.

    Args:
        state: "waiting for a click", "marked", "following", "out of sight" or "lost".
        values: What else is known.
        is_stale: Whether images have stopped coming.

    Returns:
        WARN if it is lost, or if images have stopped while it is followed.
    """
    if is_stale and state == "following":
        return _make_status("target", DiagnosticStatus.WARN, "no new image to follow it on", values)
    level = DiagnosticStatus.WARN if state == "lost" else DiagnosticStatus.OK
    return _make_status("target", level, state, values)


def make_diagnostics(
    node_name: str, header: Header, statuses: list[DiagnosticStatus]
) -> DiagnosticArray:
    """Put statuses into one message.

    Args:
        node_name: Fully qualified; comes before each status name.
        header: With the time of now.
        statuses: Of the functions above.

    Returns:
        The message for /diagnostics.
    """
    for status in statuses:
        status.name = f"{node_name.lstrip('/')}: {status.name}"
        status.hardware_id = node_name
    return DiagnosticArray(header=header, status=statuses)
