"""The MuJoCo model of the mini world: every body is a mocap body, posed frame by frame."""

from __future__ import annotations

__all__ = [
    "ACTOR_BODIES",
    "MAX_OBJECTS",
    "TEXTURE_FILE",
    "build_mjcf",
    "object_body",
    "person_bodies",
    "room_mjcf",
]

from training.sources.sim.motion import FOREARM_M, UPPER_ARM_M
from training.sources.sim.scene import KINDS

MAX_OBJECTS = 4
ACTOR_BODIES = (
    "torso",
    "head",
    "left_upper_arm",
    "right_upper_arm",
    "left_forearm",
    "right_forearm",
)

# Drawn by the renderer; a cube texture wraps every shape without stretching it along one axis.
TEXTURE_FILE = "print.png"
_TEXTURE_ASSET = f"""<asset><texture name="print" type="cube" file="{TEXTURE_FILE}"/>
    <material name="printed" texture="print" specular="0"/></asset>"""

_LIMB_HALF = {"upper_arm": UPPER_ARM_M / 2, "forearm": (FOREARM_M - 0.05) / 2}

# Geoms of each kind, centred on the body: (type, size, offset), metres.
_KIND_GEOMS = {
    "box": (("box", "0.055 0.055 0.055", "0 0 0"),),
    "can": (("cylinder", "0.048 0.065", "0 0 0"),),
    "ball": (("sphere", "0.062", "0 0 0"),),
    "mug": (
        ("cylinder", "0.052 0.058", "0 0 0"),
        ("box", "0.022 0.008 0.034", "0.066 0 0"),
    ),
    "bottle": (
        ("cylinder", "0.042 0.055", "0 0 -0.03"),
        ("cylinder", "0.018 0.03", "0 0 0.055"),
    ),
}


def object_body(slot: int, kind: str) -> str:
    """Name the body of a kind in an object slot.

    Args:
        slot: 0 to `MAX_OBJECTS` - 1.
        kind: One of the scene's kinds.

    Returns:
        The body's name in the model.
    """
    return f"object_{slot}_{kind}"


def _geom(kind: str, size: str, pos: str, name: str, more: str = "") -> str:
    return f'<geom name="{name}" type="{kind}" size="{size}" pos="{pos}"{more}/>'


def _limb(side: str, part: str, radius: float) -> str:
    half = _LIMB_HALF[part]
    name = f"{side}_{part}"
    geoms = f'<geom name="{name}" type="capsule" fromto="0 0 {-half} 0 0 {half}" size="{radius}"/>'
    if part == "forearm":
        palm = half + 0.05
        geoms += _geom("ellipsoid", "0.042 0.030 0.052", f"0 0 {palm}", f"{side}_palm")
        for finger, x in enumerate((-0.024, 0.0, 0.024)):
            geoms += (
                f'<geom name="{side}_finger_{finger}" type="capsule" size="0.0105" '
                f'fromto="{x} 0 {palm + 0.03} {x} 0.012 {palm + 0.085}"/>'
            )
    return f'<body name="{name}" mocap="true">{geoms}</body>'


def person_bodies() -> list[str]:
    """Write the person's bodies.

    Returns:
        MJCF of each of `ACTOR_BODIES`.
    """
    bodies = [
        '<body name="torso" mocap="true">'
        + _geom("ellipsoid", "0.20 0.115 0.30", "0 0 0", "torso")
        + '<geom name="collar" type="capsule" size="0.065" fromto="-0.15 0 0.2 0.15 0 0.2"/>'
        + _geom("cylinder", "0.05 0.06", "0 0 0.29", "neck")
        + "</body>",
        '<body name="head" mocap="true">'
        + _geom("ellipsoid", "0.078 0.092 0.108", "0 0 0", "head")
        + _geom("ellipsoid", "0.084 0.092 0.090", "0 0.022 0.036", "hair")
        + _geom("sphere", "0.011", "0.03 -0.084 0.012", "left_eye")
        + _geom("sphere", "0.011", "-0.03 -0.084 0.012", "right_eye")
        + "</body>",
    ]
    bodies += [
        _limb(side, part, radius)
        for side in ("left", "right")
        for part, radius in (("upper_arm", 0.052), ("forearm", 0.036))
    ]
    return bodies


def room_mjcf(bodies: list[str], asset: str = "") -> str:
    """Write the room with a table, a lamp and a camera around some bodies.

    Args:
        bodies: MJCF of each.
        asset: MJCF of the assets that they use.

    Returns:
        The whole model.
    """
    return f"""<mujoco model="tavid_mini_world">{asset}
  <visual><global offwidth="1440" offheight="960"/><map znear="0.02" zfar="20"/>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.25 0.25 0.25" specular="0 0 0"/></visual>
  <worldbody>
    <light name="lamp" pos="0.5 -1.0 2.0" dir="-0.2 0.5 -1" directional="true"/>
    <geom name="wall" type="box" size="3 0.05 3" pos="0 1.2 0"/>
    <geom name="floor" type="box" size="3 3 0.05" pos="0 0 -0.8"/>
    <geom name="table" type="box" size="0.62 0.29 0.02" pos="0 -0.04 -0.02"/>
    <camera name="camera" pos="0 -1 0.7"/>
    {"".join(bodies)}
  </worldbody>
</mujoco>"""


def build_mjcf(*, is_textured: bool = False) -> str:
    """Write the model as MJCF.

    Args:
        is_textured: Whether the objects carry the picture `TEXTURE_FILE`, which whoever compiles
            the model must supply as an asset.

    Returns:
        XML with one room, one person and `MAX_OBJECTS` slots that hold every kind; the
        renderer hides what a scene does not use and sets colours, camera and light.
    """
    bodies = person_bodies()
    look = ' material="printed"' if is_textured else ""
    for slot in range(MAX_OBJECTS):
        for kind in KINDS:
            name = object_body(slot, kind)
            geoms = "".join(
                _geom(shape, size, pos, f"{name}_{part}", look)
                for part, (shape, size, pos) in enumerate(_KIND_GEOMS[kind])
            )
            bodies.append(f'<body name="{name}" mocap="true">{geoms}</body>')
    asset = _TEXTURE_ASSET if is_textured else ""
    return room_mjcf(bodies, asset)
