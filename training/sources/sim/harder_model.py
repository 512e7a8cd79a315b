"""The MuJoCo model of the harder world: person, robot arm, and slots that become any thing."""

from __future__ import annotations

from training.sources.sim.arm import HAND_LENGTH_M, LINK_M, OPEN_M
from training.sources.sim.model import person_bodies, room_mjcf
from training.sources.sim.parts import MAX_PARTS

__all__ = ["ARM_BODIES", "ARM_JOINT_GEOMS", "MAX_CLUTTER", "MAX_OBJECTS", "build_harder_mjcf"]

MAX_OBJECTS, MAX_CLUTTER = 6, 7
ARM_BODIES = ("arm_base", "arm_upper", "arm_lower", "arm_hand", "arm_finger_0", "arm_finger_1")
# Painted in the second of the arm's two colours.
ARM_JOINT_GEOMS = (
    "arm_shoulder_joint",
    "arm_elbow_joint",
    "arm_wrist_joint",
    "arm_palm",
    "arm_finger_0",
    "arm_finger_1",
)


def _link(name: str, length_m: float, radius_m: float, joint: str) -> str:
    """Write a link whose own z runs from its joint, at -length / 2, to the next one."""
    half = length_m / 2
    return (
        f'<body name="{name}" mocap="true">'
        f'<geom name="{name}" type="capsule" size="{radius_m}" fromto="0 0 {-half} 0 0 {half}"/>'
        f'<geom name="{joint}" type="sphere" size="{1.35 * radius_m}" pos="0 0 {half}"/></body>'
    )


def _arm_bodies() -> list[str]:
    hand = HAND_LENGTH_M
    bodies = [
        '<body name="arm_base" mocap="true">'
        '<geom name="arm_column" type="cylinder" size="0.062 0.42" pos="0 0 -0.21"/>'
        '<geom name="arm_shoulder_joint" type="sphere" size="0.078" pos="0 0 0.24"/></body>',
        _link("arm_upper", LINK_M[0], 0.046, "arm_elbow_joint"),
        _link("arm_lower", LINK_M[1], 0.038, "arm_wrist_joint"),
        # Its origin is the point between the finger tips, its z points up.
        '<body name="arm_hand" mocap="true">'
        f'<geom name="arm_stem" type="cylinder" size="0.026 0.03" pos="0 0 {hand - 0.03}"/>'
        f'<geom name="arm_palm" type="box" size="0.068 0.03 0.014" pos="0 0 {hand - 0.05}"/>'
        "</body>",
    ]
    length = hand - 0.05
    bodies += [
        f'<body name="arm_finger_{side}" mocap="true"><geom name="arm_finger_{side}" type="box" '
        f'size="0.01 0.02 {length / 2 + 0.006}" pos="0 0 {length / 2 - 0.006}"/></body>'
        for side in (0, 1)
    ]
    assert OPEN_M < 0.068, "the fingers stay under the palm"
    return bodies


def _slot(name: str) -> str:
    """Write a body whose parts get type, size and place when a scene is drawn."""
    geoms = "".join(
        f'<geom name="{name}_{part}" type="box" size="0.01 0.01 0.01"/>'
        for part in range(MAX_PARTS)
    )
    return f'<body name="{name}" mocap="true">{geoms}</body>'


def build_harder_mjcf() -> str:
    """Write the model as MJCF.

    Returns:
        XML with one room, a person, an arm, and slots for objects and clutter; the renderer hides
        what a scene does not use.
    """
    bodies = person_bodies() + _arm_bodies()
    bodies += [_slot(f"object_{slot}") for slot in range(MAX_OBJECTS)]
    bodies += [_slot(f"clutter_{slot}") for slot in range(MAX_CLUTTER)]
    return room_mjcf(bodies)
