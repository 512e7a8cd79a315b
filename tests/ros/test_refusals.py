"""How the planner tells why goals are rejected."""

from __future__ import annotations

from std_msgs.msg import String

from tavid_ros.refusals import Refusals
from tests.ros.graph import wait_for


def test_flood_is_told_on_the_topic_and_summed_up_in_the_log(graph, capfd):
    now_sec = [100.0]
    refusals = Refusals(graph.node, clock_sec=lambda: now_sec[0])
    heard = graph.subscribe(String, "tester/refusal", 100)
    wait_for(refusals._publisher.get_subscription_count)
    for _ in range(5):
        refusals.tell("BUSY: another goal is running.")
    refusals.tell("NOT_READY: the node is not active.")
    now_sec[0] += 1.0
    refusals.tell("NOT_READY: the node is not active.")
    wait_for(lambda: len(heard) == 7)
    assert [message.data.split(":")[0] for message in heard] == ["BUSY"] * 5 + ["NOT_READY"] * 2
    lines = [line for line in capfd.readouterr().err.splitlines() if "goal rejected" in line]
    assert [line.partition("goal rejected, ")[2] for line in lines] == [
        "BUSY: another goal is running.",
        "NOT_READY: the node is not active. (4 more rejected before it)",
        "NOT_READY: the node is not active.",
    ]
    refusals.destroy()
