"""The node's own state as diagnostics."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from tavid_core.errors import ErrorCode
from tavid_ros.goal_runner import LastPlan
from tavid_ros.worker_job import WorkerState
from tavid_ros.worker_process import WorkerProcess

__all__ = [
    "describe_callbacks",
    "describe_inputs",
    "describe_last_plan",
    "describe_target",
    "describe_worker",
    "make_diagnostics",
]

_MAX_RECENT_DEATHS = 3
_REQUIRED_TOPICS = ("image", "target_mask")


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


def describe_inputs(
    ages_sec: Mapping[str, float], num_malformed: Mapping[str, int], max_age_sec: float
) -> DiagnosticStatus:
    """Tell how old the inputs are.

    Args:
        ages_sec: By topic.
        num_malformed: Refused messages by topic.
        max_age_sec: From which age a goal would refuse them; 0 = none.

    Returns:
        WARN if image or mask are stale or malformed messages came. Missing ones are no fault: goals
        may bring their own.
    """
    values = {f"{topic}_age_sec": f"{age:.2f}" for topic, age in sorted(ages_sec.items())}
    values |= {f"{topic}_malformed": count for topic, count in sorted(num_malformed.items())}
    stale = [
        topic
        for topic in _REQUIRED_TOPICS
        if max_age_sec and ages_sec.get(topic, 0.0) > max_age_sec
    ]
    if stale:
        message, level = f"stale: {', '.join(stale)}", DiagnosticStatus.WARN
    elif any(num_malformed.values()):
        message, level = "malformed messages were refused", DiagnosticStatus.WARN
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


def describe_target(state: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """Tell how a segmenter's target is.

    Args:
        state: "waiting for a click", "marked", "following" or "lost".
        values: What else is known.

    Returns:
        WARN if it is lost.
    """
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
