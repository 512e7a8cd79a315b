"""What is remembered of a topic is bounded in number and bytes."""

from __future__ import annotations

from std_msgs.msg import String

from tavid_ros.topic_memory import Received, TopicMemory


def fill(memory, *lengths):
    for second, length in enumerate(lengths):
        memory.put(Received(String(data="x" * length), float(second)))
    return [len(received.message.data) for received in memory.newest_first]


def test_newest_messages_stay_within_both_bounds():
    memory = TopicMemory(max_messages=3, max_bytes=100)
    assert fill(memory, 1, 2, 3, 4) == [4, 3, 2]
    assert memory.num_bytes == 9
    assert fill(memory, 60, 50, 40) == [40, 50]
    assert memory.num_bytes == 90
    assert fill(memory, 500) == [500]
    assert memory.latest.message.data == "x" * 500
    memory.clear()
    assert (memory.latest, memory.num_bytes) == (None, 0)


def test_rate_counts_the_last_seconds():
    memory = TopicMemory()
    assert memory.rate_hz(0.0) == 0.0
    fill(memory, *[1] * 4)
    assert memory.rate_hz(3.0) == 1.0
    assert memory.rate_hz(100.0) == 0.0
