"""A plan in words: one line for a verdict, some lines for a terminal."""

from __future__ import annotations

from tavid_core.types import InteractionPlan

__all__ = ["describe_outcome", "rate_outcome", "summarize_plan"]


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
        return "target not touched"
    at_sec = contact.start_frame / plan.rollout.fps
    hand = (contact.hand or "a hand").replace("_", " ")
    outcome = f"target touched at {at_sec:.1f} s by the {hand}"
    return outcome if contact.confidence >= 0.5 else f"{outcome}, but that is uncertain"


def rate_outcome(plan: InteractionPlan) -> str:
    """Rate a plan for display.

    Args:
        plan: What to rate.

    Returns:
        "good" (touched, and surely so), "fair" (not, or not surely), "poor" (no actor).
    """
    if not plan.motion.has_actor:
        return "poor"
    contact = plan.motion.contact
    return "good" if contact.touches_target and contact.confidence >= 0.5 else "fair"


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
        f'prompt      "{request.prompt}"',
        f"image       {width} x {height}, target of {int(request.target_mask.sum())} pixels",
        f"rollout     {len(rollout.frames)} frames of {rollout.frames.shape[2]} x "
        f"{rollout.frames.shape[1]} at {rollout.fps:g} fps, seed {request.seed}, "
        f"{plan.planning_time_sec:.1f} s of planning",
        f"scale       {motion.scale_source.replace('_', ' ')}",
    ]
    for name, value in motion.confidence.items():
        reason = motion.reasons.get(name, "")
        lines.append(f"{name:<11} {value:.2f}" + (f"  {reason}" if reason else ""))
    return "\n".join(lines)
