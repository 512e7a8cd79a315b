"""Which of several imagined plans is the best."""

from __future__ import annotations

import dataclasses
import math

from tavid_core.motion import InteractionMotion
from tavid_core.types import Rollout

__all__ = ["Candidate", "score_motion"]

# Wide enough apart that no confidence outweighs a contact, nor a contact's lack an actor.
_CONTACT_WEIGHT, _ACTOR_WEIGHT, _CONFIDENCE_WEIGHT = 0.6, 0.2, 0.2
# What differs between rollouts of one image; its scale does not.
_CHANNELS = ("actor", "hands", "target", "contact")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One imagined and lifted rollout.

    Args:
        seed: Of its noise.
        rollout: The video.
        motion: The motion.
    """

    seed: int
    rollout: Rollout
    motion: InteractionMotion

    @property
    def score(self) -> float:
        """How good it is, see `score_motion`; as a plan says it, to four digits."""
        return round(score_motion(self.motion), 4)

    def to_json(self) -> dict[str, object]:
        """Say for provenance what became of this seed."""
        return {
            "seed": int(self.seed),
            "score": self.score,
            "touches_target": bool(self.motion.contact.touches_target),
        }


def score_motion(motion: InteractionMotion) -> float:
    """Rate a motion by what a robot needs: contact with the target first, then certainty.

    Args:
        motion: Of a rollout.

    Returns:
        0 to 1: 0.6 if a hand touches the target, 0.2 if there is an actor at all, and 0.2 times
        the mean confidence in actor, hands, target and contact.
    """
    values = [float(motion.confidence.get(channel, 0.0)) for channel in _CHANNELS]
    finite = [min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0 for value in values]
    return (
        _CONTACT_WEIGHT * bool(motion.contact.touches_target)
        + _ACTOR_WEIGHT * bool(motion.has_actor)
        + _CONFIDENCE_WEIGHT * sum(finite) / len(finite)
    )
