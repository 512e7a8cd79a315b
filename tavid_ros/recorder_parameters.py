"""Parameters of recorder_node."""

from __future__ import annotations

import dataclasses
import re

from tavid_core.errors import ConfigError
from tavid_ros.parameter_fields import parameter_field

__all__ = ["RecorderParameters"]

_NAME = re.compile(r"~?/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_MAX_TOPICS = 64
# What training.sources.bags can use; those that nobody publishes are not in the bag.
_TOPICS = (
    "image",
    "image/compressed",
    "camera_info",
    "depth",
    "target_mask",
    "actor_mask",
    "joint_states",
    "contact",
    "prompt",
    "episode",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecorderParameters:
    """What recorder_node can be told; see each field's description."""

    bag: str = parameter_field(
        "", "Folder of the new bag; empty = bag_ and the time, where the node runs.", is_fixed=True
    )
    topics: tuple[str, ...] = parameter_field(
        _TOPICS, "What is recorded, as far as somebody publishes it.", is_fixed=True
    )
    prompt: str = parameter_field(
        "", "Kept in the bag's metadata: what happens, where no topic says it.", is_fixed=True
    )
    queue_depth: int = parameter_field(
        20, "Messages of each topic that may wait to be written.", low=1, high=1000, is_fixed=True
    )
    compress: bool = parameter_field(
        True, "Compress with zstd; without, writing costs less time.", is_fixed=True
    )
    max_duration_sec: float = parameter_field(
        0.0, "Ends after this time; 0 = on a signal.", low=0.0, high=604800.0, is_fixed=True
    )
    max_size_mb: int = parameter_field(
        0, "Ends when so much was received; 0 = never.", low=0, high=10**9, is_fixed=True
    )
    min_free_mb: int = parameter_field(
        500, "Ends when the disk has less room.", low=0, high=10**9, is_fixed=True
    )

    def __post_init__(self) -> None:
        """Refuse values that ranges cannot express."""
        if not 1 <= len(self.topics) <= _MAX_TOPICS:
            raise ConfigError(
                f"topics must be 1 to {_MAX_TOPICS} names, got {len(self.topics)}. Name some."
            )
        for topic in self.topics:
            if not _NAME.fullmatch(topic):
                raise ConfigError(
                    f"topics must be names of topics, got {topic[:80]!r}. Correct its spelling."
                )
