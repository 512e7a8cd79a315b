"""Where keypoints come from, by the name that a user gives."""

from __future__ import annotations

from pathlib import Path

from tavid_core.errors import ConfigError
from tavid_core.lifting.keypoints import KeypointDetector

__all__ = ["load_detector"]

FILE_ENDINGS = (".json", ".npz")


def load_detector(source: str = "mini") -> KeypointDetector:
    """Make a detector.

    Args:
        source: "mini" (the shipped one, for the shipped world), "mediapipe" (people in real
            pictures, extra `pose`), or a .json or .npz file with keypoints of the rollout.

    Returns:
        The detector.

    Raises:
        ConfigError: If the source is none of these.
        InputError: If the file is unusable.
        MissingExtraError: If mediapipe is not installed.
        WeightsError: If the shipped detector is damaged.
    """
    if source == "mini":
        from tavid_core.lifting.detector import HeatmapDetector

        return HeatmapDetector.from_pretrained()
    if source == "mediapipe":
        from tavid_core.lifting.mediapipe_pose import MediapipeDetector

        return MediapipeDetector()
    if Path(source).suffix in FILE_ENDINGS:
        from tavid_core.lifting.keypoint_file import KeypointFile

        return KeypointFile(source)
    raise ConfigError(
        f"keypoints must be 'mini', 'mediapipe' or a .json or .npz file, got {source[:80]!r}. "
        "Use 'mediapipe' for real pictures."
    )
