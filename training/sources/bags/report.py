"""What of a bag was read and what was not, by topic and by reason."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator

from training.sources.recording import SourceNote

__all__ = ["BagReport", "TopicCount"]

MISSING = "stored according to the bag, but not found"


@dataclasses.dataclass
class TopicCount:
    """Messages of one topic.

    Attributes:
        type_name: Of its messages, e.g. sensor_msgs/msg/Image.
        num_kept: Whole and usable ones.
        dropped: How many were not, by reason.
    """

    type_name: str = ""
    num_kept: int = 0
    dropped: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @property
    def num_found(self) -> int:
        """All that were found, usable or not."""
        return self.num_kept + sum(self.dropped.values())


class BagReport:
    """Counts what happens while a bag is read.

    Attributes:
        topics: By name.
        notes: Everything else that a reader should know, in order.
    """

    def __init__(self) -> None:
        self.topics: dict[str, TopicCount] = {}
        self.notes: list[SourceNote] = []
        self._details: dict[tuple[str, str], str] = {}

    def topic(self, name: str, type_name: str = "") -> TopicCount:
        """Find the counts of a topic, or begin them.

        Args:
            name: Of the topic.
            type_name: Of its messages, where known.

        Returns:
            Its counts.
        """
        count = self.topics.setdefault(name, TopicCount())
        count.type_name = count.type_name or type_name
        return count

    def keep(self, topic: str) -> None:
        """Count a message that is fine.

        Args:
            topic: Whose.
        """
        self.topic(topic).num_kept += 1

    def drop(self, topic: str, reason: str, detail: str = "", count: int = 1) -> None:
        """Count messages that cannot be used.

        Args:
            topic: Whose.
            reason: Some words; drops of one reason are added up.
            detail: What exactly; the first one is kept.
            count: How many.
        """
        self.topic(topic).dropped[reason] += count
        self._details.setdefault((topic, reason), detail)

    def spoil(self, topic: str, reason: str, detail: str = "") -> None:
        """Count a message as lost that was counted as fine before.

        Args:
            topic: Whose.
            reason: As for `drop`.
            detail: As for `drop`.
        """
        self.topic(topic).num_kept -= 1
        self.drop(topic, reason, detail)

    def note(self, reason: str, detail: str = "", *, is_loss: bool, count: int = 1) -> None:
        """Write down something that is not about one message.

        Args:
            reason: Some words.
            detail: Where or what exactly.
            is_loss: Whether data was lost or damaged.
            count: How often.
        """
        self.notes.append(SourceNote(reason, count, detail, is_loss))

    def expect(self, counts: dict[str, int]) -> None:
        """Compare with what the bag says that it holds; what is missing counts as dropped.

        Args:
            counts: Messages by topic, of the bag's statistics.
        """
        for name, num_expected in counts.items():
            num_missing = num_expected - self.topic(name).num_found
            if num_missing > 0:
                self.drop(name, MISSING, count=num_missing)

    @property
    def num_dropped(self) -> int:
        """Messages that were lost, all topics together."""
        return sum(sum(count.dropped.values()) for count in self.topics.values())

    @property
    def is_lossy(self) -> bool:
        """Whether anything was lost or damaged."""
        return self.num_dropped > 0 or any(note.is_loss for note in self.notes)

    def source_notes(self) -> Iterator[SourceNote]:
        """Tell it in the form of every source.

        Yields:
            One note per topic and reason, then the others.
        """
        for name, count in sorted(self.topics.items()):
            if count.num_kept:
                yield SourceNote(f"messages of {name} read", count.num_kept, is_loss=False)
            for reason, number in sorted(count.dropped.items()):
                detail = self._details.get((name, reason), "")
                yield SourceNote(f"messages of {name} lost: {reason}", number, detail)
        yield from self.notes
