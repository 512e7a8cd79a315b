"""With which QoS the inputs are subscribed to."""

from __future__ import annotations

from rclpy.qos import QoSProfile, ReliabilityPolicy

from tavid_ros.parameters import PlannerParameters

__all__ = ["choose_input_qos", "explain_qos", "match_input_qos"]

_RELIABILITIES = {
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
    "system_default": ReliabilityPolicy.SYSTEM_DEFAULT,
}


def choose_input_qos(name: str, parameters: PlannerParameters) -> QoSProfile:
    """Choose the QoS of an input's first subscription.

    A subscription hears only publishers that offer at least what it asks for, and gets only what it
    asks for. Images come again and again, so that best effort, which hears everybody, is right.

    Args:
        name: The input.
        parameters: `image_reliability` and `image_depth` count for image and depth.

    Returns:
        The profile.
    """
    if name not in ("image", "depth"):
        return QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    reliability = _RELIABILITIES[parameters.image_reliability]
    return QoSProfile(depth=parameters.image_depth, reliability=reliability)


def match_input_qos(name: str, offered: QoSProfile) -> QoSProfile | None:
    """Choose the QoS of one more subscription, to get all that a publisher offers.

    A mask, a prompt or a calibration may be published once: a latched one must be heard by who
    comes later, and a reliable one must not be lost. No single subscription hears every publisher
    and gets all that each one offers; and to ask all of them for more than they offer fills their
    logs with warnings.

    Args:
        name: The input.
        offered: By a publisher that is there.

    Returns:
        The profile, or None if the first subscription gets all there is.
    """
    if name in ("image", "depth") or offered.reliability != ReliabilityPolicy.RELIABLE:
        return None
    return QoSProfile(depth=1, reliability=offered.reliability, durability=offered.durability)


def explain_qos(qos: QoSProfile) -> str:
    """Name the policies that decide who hears whom.

    Args:
        qos: Of a publisher or a subscription.

    Returns:
        For example "best effort, volatile".
    """
    names = (qos.reliability.name, qos.durability.name)
    return ", ".join(name.lower().replace("_", " ") for name in names)
