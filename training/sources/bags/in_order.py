"""Messages in the order in which they were received, where the file has them nearly so."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from training.sources.bags.stored_message import StoredMessage

__all__ = ["put_in_order"]

_MAX_LATENESS_NS = 1_000_000_000
# A recorder's clock that was set back; no writer holds a message for so long.
_MAX_STEP_BACK_NS = 10 * _MAX_LATENESS_NS


def put_in_order(
    messages: Iterator[StoredMessage], max_waiting_bytes: int
) -> Iterator[StoredMessage]:
    """Sort messages by the time they were received, holding each for up to a second.

    Args:
        messages: In the order of the file.
        max_waiting_bytes: Of messages that wait; the earliest goes when there are more.

    Yields:
        All messages.
    """
    waiting: list[tuple[int, int, StoredMessage]] = []
    num_bytes, newest_ns = 0, 0
    for number, message in enumerate(messages):
        if message.received_ns < newest_ns - _MAX_STEP_BACK_NS:
            while waiting:
                yield heapq.heappop(waiting)[2]
            num_bytes, newest_ns = 0, message.received_ns
        newest_ns = max(newest_ns, message.received_ns)
        heapq.heappush(waiting, (message.received_ns, number, message))
        num_bytes += len(message.data)
        while waiting and (
            waiting[0][0] < newest_ns - _MAX_LATENESS_NS or num_bytes > max_waiting_bytes
        ):
            earliest = heapq.heappop(waiting)[2]
            num_bytes -= len(earliest.data)
            yield earliest
    while waiting:
        yield heapq.heappop(waiting)[2]
