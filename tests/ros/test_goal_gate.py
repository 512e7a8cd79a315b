"""Who may plan, by each policy; no graph needed."""

from __future__ import annotations

import pytest

from tavid_ros.goal_gate import GoalGate


class FakeClock:
    def __init__(self) -> None:
        self.now_sec = 100.0

    def __call__(self) -> float:
        return self.now_sec


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def gate(clock):
    made = GoalGate(clock)
    made.open()
    return made


def test_closed_gate_says_why():
    gate = GoalGate()
    for policy in ("reject", "queue", "newest"):
        assert gate.enter(policy).startswith("NOT_READY: ")
    gate.open()
    assert gate.enter("reject") is None
    gate.close("it is closed.")
    assert gate.enter("newest") == "NOT_READY: it is closed."


def test_reject_admits_one_at_a_time(gate, clock):
    assert gate.enter("reject") is None
    assert "BUSY" in gate.enter("reject")
    ticket = gate.hold(b"1", "reject")
    clock.now_sec += 100.0
    assert "BUSY" in gate.enter("reject")
    assert gate.last_refusal == gate.enter("reject")
    gate.leave(ticket)
    gate.leave(ticket)
    assert gate.enter("reject") is None


def test_queue_admits_one_more_that_waits_for_its_turn(gate):
    tickets = []
    for number in range(2):
        assert gate.enter("queue") is None
        tickets.append(gate.hold(bytes([number]), "queue"))
    assert gate.enter("queue") == (
        "BUSY: another goal is running and one waits. Cancel it, or wait for its result."
    )
    assert [gate.is_first(ticket) for ticket in tickets] == [True, False]
    gate.leave(tickets[0])
    assert gate.is_first(tickets[1])
    assert gate.enter("queue") is None
    assert gate.enter("queue") is not None


def test_newest_supersedes_all_before_it(gate):
    tickets = []
    for number in range(4):
        assert gate.enter("newest") is None
        tickets.append(gate.hold(bytes([number]), "newest"))
    assert [ticket.is_superseded for ticket in tickets] == [True, True, True, False]
    # The oldest still drains.
    assert not gate.is_first(tickets[-1])
    for ticket in tickets[:-1]:
        gate.leave(ticket)
    assert gate.is_first(tickets[-1])


def test_policy_may_change_between_goals(gate):
    assert gate.enter("newest") is None
    first = gate.hold(b"1", "newest")
    assert gate.enter("reject") is not None
    assert gate.enter("queue") is None
    gate.hold(b"2", "queue")
    assert not first.is_superseded


def test_place_of_a_goal_that_never_runs_is_free_again(gate, clock):
    assert gate.enter("reject") is None
    clock.now_sec += 1.0
    assert "BUSY" in gate.enter("reject")
    clock.now_sec += 1.5
    assert gate.enter("reject") is None


def test_two_goals_that_came_in_on_a_starved_machine_run_one_by_one(gate, clock):
    assert gate.enter("reject") is None
    clock.now_sec += 2.5
    assert gate.enter("reject") is None
    tickets = [gate.hold(goal_id, "reject") for goal_id in (b"1", b"2")]
    assert not gate.is_first(tickets[1])
    gate.leave(tickets[0])
    assert "BUSY" in gate.enter("reject")
    assert not gate.wait_empty(0.0)
    gate.leave(tickets[1])
    assert gate.wait_empty(0.0)
    assert gate.enter("reject") is None
