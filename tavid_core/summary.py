"""A plan in words: one line for a verdict, some lines for a terminal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tavid_core.types import InteractionPlan

__all__ = [
    "describe_basis",
    "describe_motion",
    "describe_outcome",
    "rate_outcome",
    "summarize_plan",
]

# A contact below this is told as a guess.
SURE = 0.5
_SCALES = {
    "sensor": "metres from the depth image",
    "height_prior": "metres from an adult's usual size",
    "none": "metres assumed",
}
_DOFS = {3: "target: place only", 6: "target: place and turn"}


def describe_outcome(plan: InteractionPlan) -> str:
    """Say in one sentence what the plan holds.

    Args:
        plan: What to describe.

    Returns:
        No full stop at the end; plain text.
    """
    motion, contact = plan.motion, plan.motion.contact
    if not motion.has_actor:
        return "no actor found: do not trust the motion"
    if not contact.touches_target or contact.start_frame is None:
        touches_other = contact.touches_other
        return (
            "something else is touched, not the target" if touches_other else "target not touched"
        )
    at_sec = contact.start_frame / plan.rollout.fps
    hand = (contact.hand or "a hand").replace("_", " ")
    outcome = f"target touched at {at_sec:.1f} s by the {hand}"
    return outcome if contact.confidence >= SURE else f"{outcome}, but that is uncertain"


def rate_outcome(plan: InteractionPlan) -> str:
    """Rate a plan for display.

    Args:
        plan: What to rate.

    Returns:
        "good" (touched, and surely so), "fair" (not, or not surely), "poor" (no actor, or
        something else touched).
    """
    contact = plan.motion.contact
    if not plan.motion.has_actor or (contact.touches_other and not contact.touches_target):
        return "poor"
    return "good" if contact.touches_target and contact.confidence >= SURE else "fair"


def describe_motion(plan: InteractionPlan) -> str:
    """Say in one sentence who goes how far and what becomes of the target.

    Args:
        plan: What to describe.

    Returns:
        Plain text without a full stop; empty where nothing is known in metres.
    """
    motion, contact = plan.motion, plan.motion.contact
    hand = next((hand for hand in motion.hands if hand.name == contact.hand), None)
    if hand is None or not contact.touches_target or contact.start_frame is None:
        return ""
    start, end = contact.start_frame, contact.end_frame
    is_sure = contact.confidence >= SURE
    name, way = hand.name.replace("_", " "), _way(hand.positions_camera_m[: start + 1])
    parts = [f"the {name} goes {way}" if is_sure else f"the {name} would go {way}"]
    place_m = motion.target.positions_camera_m[start]
    if np.isfinite(place_m).all():
        parts.append(f"to the target {np.linalg.norm(place_m):.2f} m from the camera")
    sentence = " ".join(parts)
    aperture_m = motion.apertures_m.get(hand.name)
    if aperture_m is not None and np.isfinite(aperture_m[start]):
        sentence += f", with the fingers {_length(aperture_m[start])} apart"
    # From frame 0: a target may be seen to move a little before its contact is sure.
    carried = _way(motion.target.positions_camera_m[: end + 1])
    sentence = f"{sentence}, and {'moves' if is_sure else 'move'} it {carried}"
    # The picture says that it is touched, nothing measured says how far away.
    is_measured = motion.scale_source == "sensor"
    return sentence if is_measured else f"{sentence}; lengths rest on an assumed distance"


def describe_basis(plan: InteractionPlan) -> tuple[str, ...]:
    """Say on what the numbers rest, in a few words each.

    Args:
        plan: What to describe.

    Returns:
        Actor, source of the scale, what is known of the target, and the body that was fitted.
    """
    motion = plan.motion
    facts = [
        "no actor" if motion.actor_kind == "none" else f"actor: {motion.actor_kind}",
        _SCALES.get(motion.scale_source, motion.scale_source),
        _DOFS.get(motion.target_dof, f"target: {motion.target_dof} degrees of freedom"),
    ]
    if motion.body_fit is not None:
        facts.append(f"body: {motion.body_fit.model}")
    return tuple(facts)


def _way(positions_m: NDArray[np.float32]) -> str:
    """From the first known place to the last one, in a straight line."""
    known = positions_m[np.isfinite(positions_m).all(axis=-1)]
    return "an unknown way" if len(known) == 0 else _length(np.linalg.norm(known[-1] - known[0]))


def _length(length_m: float) -> str:
    return f"{100 * length_m:.0f} cm" if length_m < 1 else f"{length_m:.2f} m"


def summarize_plan(plan: InteractionPlan) -> str:
    """Describe a plan in a few lines for a terminal.

    Args:
        plan: What to describe.

    Returns:
        Lines joined by newlines.
    """
    request, rollout, motion = plan.request, plan.rollout, plan.motion
    height, width = request.image.shape[:2]
    lines = [
        f"{describe_outcome(plan)}",
        *filter(None, [describe_motion(plan)]),
        f'prompt      "{request.prompt}"',
        f"image       {width} x {height}, target of {int(request.target_mask.sum())} pixels",
        f"rollout     {len(rollout.frames)} frames of {rollout.frames.shape[2]} x "
        f"{rollout.frames.shape[1]} at {rollout.fps:g} fps, seed {request.seed}, "
        f"{plan.planning_time_sec:.1f} s of planning",
        f"basis       {'; '.join(describe_basis(plan))}",
    ]
    for segment in motion.segments:
        hand = segment.hand.replace("_", " ")
        span = f"{segment.start_frame / rollout.fps:.2f} to {segment.end_frame / rollout.fps:.2f} s"
        lines.append(f"{segment.name:<11} {span}, {hand}")
    for name, value in motion.confidence.items():
        reason = motion.reasons.get(name, "")
        lines.append(f"{name:<11} {value:.2f}" + (f"  {reason}" if reason else ""))
    return "\n".join(lines)
