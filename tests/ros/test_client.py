"""The client's own side: answers that come late, plans that were not saved."""

from __future__ import annotations

import time
from unittest.mock import Mock

import pytest
from rclpy.task import Future
from tavid.action import PlanInteraction

from tavid_ros import client as program
from tavid_ros.client import PlanClient, PlanTimeoutError, PlanUnreachableError
from tests.ros.messages import make_request

DISK_FULL = "the plan could not be saved to /full: No space left on device"


@pytest.fixture
def client(graph, monkeypatch):
    """A client whose planner lives but does not answer; `sent` is what it waits for."""
    made = PlanClient(graph.node)
    made.sent = Future()
    monkeypatch.setattr(made, "wait_for_planner", lambda _: None)
    monkeypatch.setattr(made._heartbeat, "check", lambda: None)
    monkeypatch.setattr(made._client, "send_goal_async", lambda *_, **__: made.sent)
    yield made
    made.destroy()


@pytest.mark.parametrize("is_accepted", [True, False])
def test_goal_that_is_accepted_too_late_is_canceled(client, is_accepted):
    start = time.monotonic()
    with pytest.raises(PlanTimeoutError, match=r"answer a goal within 0\.\d+ s"):
        client.request_plan(PlanInteraction.Goal(), 0.3)
    assert time.monotonic() - start < 5.0
    handle = Mock(accepted=is_accepted)
    client.sent.set_result(handle)
    assert handle.cancel_goal_async.called == is_accepted


def test_late_answer_that_failed_is_ignored(client):
    with pytest.raises(PlanTimeoutError):
        client.request_plan(PlanInteraction.Goal(), 0.1)
    client.sent.set_exception(RuntimeError("the context is gone"))


@pytest.mark.parametrize(
    ("message", "match"), [(DISK_FULL, "No space left"), ("", "save_plans is off")]
)
def test_plan_that_was_not_saved_says_why(client, monkeypatch, capsys, message, match):
    result = PlanInteraction.Result(error_msg=message)
    monkeypatch.setattr(PlanClient, "wait_for_planner", lambda *_: None)
    monkeypatch.setattr(PlanClient, "request_plan", lambda *_, **__: result)
    request = make_request()
    with pytest.raises(PlanUnreachableError, match=f"got no folder: .*{match}"):
        client.plan(request.image, request.target_mask, request.prompt, 1.0)
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    assert program.main(["--prompt", "lift it"]) == 0
    assert match in capsys.readouterr().out
