"""What makes a clip: the rules of the cutter, and the reasons for which a window is left out."""

from __future__ import annotations

import dataclasses
import enum
import math

from tavid_core.errors import InputError

__all__ = ["CutReason", "CutRules"]


class CutReason(str, enum.Enum):
    """Why a window is not a clip; the value stands in the report."""

    TOO_SHORT = "recording shorter than a clip"
    NO_CONTACT = "actor never touches the target"
    ALWAYS_CONTACT = "actor touches the target from the start"
    UNKNOWN_CONTACT = "neither contact, hands nor actor masks are known"
    BRIEF_CONTACT = "contact too brief"
    NO_APPROACH = "no frame without contact long enough before it"
    ENDS_TOO_SOON = "recording ends too soon after the contact"
    NO_TARGET = "no target mask in frame 0"
    SMALL_TARGET = "target too small"
    CUT_OFF_TARGET = "target outside the window that the model sees"
    NO_ACTOR = "no actor in frame 0"
    MOVING_CAMERA = "camera moves"
    SCENE_CUT = "cut within the window"
    STILL_TARGET = "target does not move after the touch"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutRules:
    """What a window has to fulfil; everything that decides which bytes are written.

    Lengths in seconds become frames by rounding up. Shares of the picture are of its pixels,
    shares of the height of its rows.

    Args:
        num_frames: Frames of a clip, 8n + 1.
        size_hw: Rows and columns of its frames, pixels.
        fps: Frames per second of recordings and clips.
        min_target_share: Smallest target in frame 0, share of the picture that the model sees.
        min_actor_share: Smallest actor mask in frame 0, share of the picture.
        min_approach_sec: Shortest time without contact at the start of a clip.
        min_contact_sec: How long the actor has to touch the target; shorter gaps are closed.
        lead_share: Where in a clip the contact is wanted, share of its length.
        hand_radius_share: Radius of the disc around a hand point, share of the height.
        touch_share: How near actor and target masks count as touching, share of the height.
        max_background_share: How far the background may move, share of the height.
        min_motion_share: How far the target has to move where contact is seen in the picture only,
            share of its own size.
        allows_unknown_actor: Whether recordings that know neither actor masks nor hands are used.
        allows_still_target: Whether a touch in the picture is believed although nothing moves.

    Raises:
        InputError: If a value is out of range.
    """

    num_frames: int = 49
    size_hw: tuple[int, int] = (480, 720)
    fps: float = 8.0
    min_target_share: float = 0.003
    min_actor_share: float = 0.005
    min_approach_sec: float = 0.5
    min_contact_sec: float = 0.5
    lead_share: float = 0.4
    hand_radius_share: float = 0.02
    touch_share: float = 0.01
    max_background_share: float = 0.01
    min_motion_share: float = 0.4
    allows_unknown_actor: bool = False
    allows_still_target: bool = False

    def __post_init__(self) -> None:
        """Check every value."""
        if self.num_frames < 9 or self.num_frames % 8 != 1:
            raise InputError(
                f"num_frames must be 8n + 1 and at least 9, got {self.num_frames}. "
                "Use 49, or 17 for the mini model."
            )
        if min(self.size_hw) < 16 or max(self.size_hw) > 8192:
            raise InputError(
                f"size must be 16 to 8192 pixels a side, got {self.size_hw[1]}x{self.size_hw[0]}. "
                "Use 720x480, or 96x64 for the mini model."
            )
        if any(side % 2 for side in self.size_hw):
            raise InputError(
                f"size must be even, got {self.size_hw[1]}x{self.size_hw[0]}. "
                "Use multiples of 16, as the models do."
            )
        if not (math.isfinite(self.fps) and 0 < self.fps <= 240):
            raise InputError(f"fps must be in 0..240, got {self.fps}. The models use 8.")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_share") and not 0.0 <= value < 1.0:
                raise InputError(f"{field.name} must be in 0..1, got {value}. Use a share.")
        for name in ("min_approach_sec", "min_contact_sec"):
            if not 0.0 <= getattr(self, name) * self.fps < self.num_frames / 2:
                raise InputError(
                    f"{name} must be shorter than half a clip, got {getattr(self, name)}. Lower it."
                )

    @property
    def num_approach_frames(self) -> int:
        """Frames without contact at the start of a clip, at least 1."""
        return max(1, math.ceil(self.min_approach_sec * self.fps))

    @property
    def num_contact_frames(self) -> int:
        """Frames for which the actor touches the target, at least 1."""
        return max(1, math.ceil(self.min_contact_sec * self.fps))

    @property
    def num_lead_frames(self) -> int:
        """Where in a clip the contact is wanted, frames from its start."""
        return max(self.num_approach_frames, round(self.lead_share * self.num_frames))
