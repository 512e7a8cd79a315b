"""How a bag is read; travels to the process that reads it as JSON."""

from __future__ import annotations

import dataclasses
import json

from tavid_core.errors import InputError
from training.sources.bags.limits import BagLimits
from training.sources.bags.topic_map import TopicMap, parse_topic_map

__all__ = ["BagSettings"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagSettings:
    """How bags become recordings.

    Args:
        topic_map: Which topic is what.
        size_hw: Rows and columns of the frames that come out, pixels.
        fps: Their rate.
        limits: What a bag may ask of the machine.

    Raises:
        InputError: If size or rate are not positive.
    """

    topic_map: TopicMap
    size_hw: tuple[int, int]
    fps: float = 8.0
    limits: BagLimits = dataclasses.field(default_factory=BagLimits)

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.size_hw) < 1 or not 0 < self.fps <= 1000:
            raise InputError(
                f"size_hw and fps must be positive, got {self.size_hw} and {self.fps}. "
                "The model has 480x720 pixels at 8 fps."
            )

    def to_json(self) -> str:
        """Write the settings.

        Returns:
            One line.
        """
        return json.dumps(
            {
                "topic_map": self.topic_map.to_yaml(),
                "size_hw": self.size_hw,
                "fps": self.fps,
                "limits": dataclasses.asdict(self.limits),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> BagSettings:
        """Read settings.

        Args:
            text: As `to_json` wrote it.

        Returns:
            The settings.
        """
        fields = json.loads(text)
        return cls(
            topic_map=parse_topic_map(fields["topic_map"]),
            size_hw=tuple(fields["size_hw"]),
            fps=fields["fps"],
            limits=BagLimits(**fields["limits"]),
        )
