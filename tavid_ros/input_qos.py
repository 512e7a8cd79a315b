"""With which QoS each input is subscribed to."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from tavid_ros.parameters import PlannerParameters

__all__ = ["choose_input_qos", "explain_qos"]

_RELIABILITIES = {
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
    "system_default": ReliabilityPolicy.SYSTEM_DEFAULT,
}


def choose_input_qos(name: str, parameters: PlannerParameters) -> tuple[QoSProfile, ...]:
    """Choose the QoS of one input's subscriptions.

    A subscription hears only publishers that offer at least what it asks for, and gets only what it
    asks for. Images come again and again, so that best effort, which hears everybody, is right. A
    mask or a prompt may be published once: a latched one must be heard by who comes later, a
    reliable one must not be lost, and a best-effort one must be heard as well. No single
    subscription does all three, so there is one for each; the copies are told apart by their source
    time.

    Args:
        name: The input.
        parameters: `image_reliability` and `image_depth` count for image and depth.

    Returns:
        One profile per subscription.
    """
    if name in ("image", "depth"):
        reliability = _RELIABILITIES[parameters.image_reliability]
        return (QoSProfile(depth=parameters.image_depth, reliability=reliability),)
    anybody = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    latched = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    if name == "camera_info":
        return anybody, latched
    return anybody, QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE), latched


def explain_qos(qos: QoSProfile) -> str:
    """Name the policies that decide who hears whom.

    Args:
        qos: Of a publisher or a subscription.

    Returns:
        For example "best effort, volatile".
    """
    names = (qos.reliability.name, qos.durability.name)
    return ", ".join(name.lower().replace("_", " ") for name in names)
