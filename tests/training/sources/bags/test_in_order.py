"""Messages of a file come out by the time they were received."""

from hypothesis import given
from hypothesis import strategies as st

from training.sources.bags.in_order import put_in_order
from training.sources.bags.stored_message import StoredMessage

SECOND_NS = 1_000_000_000


def sort(times_sec, max_waiting_bytes=1000):
    messages = [StoredMessage("/a", "T", round(t * SECOND_NS), b"0123456789") for t in times_sec]
    found = list(put_in_order(iter(messages), max_waiting_bytes))
    assert sorted(map(id, found)) == sorted(map(id, messages))
    return [message.received_ns / SECOND_NS for message in found]


def test_a_message_that_is_late_by_less_than_a_second_is_put_right():
    assert sort([0, 1, 2, 1.5, 3]) == [0, 1, 1.5, 2, 3]


def test_messages_of_one_moment_stay_in_the_order_of_the_file():
    messages = [StoredMessage("/a", "T", 5, bytes([n])) for n in range(9)]
    assert list(put_in_order(iter(messages), 1000)) == messages


def test_a_clock_that_was_set_back_begins_anew():
    assert sort([100, 101, 0, 1]) == [100, 101, 0, 1]


def test_no_more_waits_than_allowed():
    assert sort([0.5, 0.4, 0.3, 0.2], max_waiting_bytes=20) == [0.3, 0.2, 0.4, 0.5]


@given(st.lists(st.integers(-(2**63), 2**63), max_size=40))
def test_none_is_lost_whatever_the_times(times_ns):
    messages = [StoredMessage("/a", "T", time_ns, b"x") for time_ns in times_ns]
    found = list(put_in_order(iter(messages), 10))
    assert sorted(map(id, found)) == sorted(map(id, messages))
