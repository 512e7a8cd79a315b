"""Every field of a lifted motion is in the action's result, or docs/ros2.md says that it is not."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from tavid_core.errors import ErrorCode
from tavid_core.motion import BodyFit, Contact, InteractionMotion, MotionSegment, PointTrack
from tavid_ros import conversions
from tests.drawn import draw_plan, fill_plan

PARTS = {
    "hands": PointTrack,
    "body": PointTrack,
    "target": PointTrack,
    "contact": Contact,
    "segments": MotionSegment,
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "ros2.md"
WORDS = {"hand": "left_hand", "name": "retreat"}
# A track's name is that of its joint, except for the target, which has one name only.
FIXED = ("target.name",)


def leaves():
    """Name every field of a motion, those of its parts one by one."""
    for field in dataclasses.fields(InteractionMotion):
        part = PARTS.get(field.name)
        inner = [None] if part is None else [f.name for f in dataclasses.fields(part)]
        yield from (field.name if name is None else f"{field.name}.{name}" for name in inner)


@pytest.fixture(scope="module")
def plan():
    """A plan with every part, without NaN, which is equal to nothing."""
    plan = fill_plan(draw_plan())
    motion = plan.motion
    turns = np.tile(np.float32([0, 0, 0, 1]), (motion.num_frames, 1))
    hand = dataclasses.replace(motion.hands[0], quaternions_xyzw=turns)
    elbow = dataclasses.replace(hand, name="right_elbow")
    target = dataclasses.replace(motion.target, quaternions_xyzw=turns)
    apertures_m = {hand.name: np.full(motion.num_frames, 0.08, np.float32)}
    contact = dataclasses.replace(motion.contact, point_target_m=np.zeros(3, np.float32))
    changes = {"hands": (hand,), "body": (elbow,), "target": target, "apertures_m": apertures_m}
    motion = dataclasses.replace(motion, contact=contact, **changes)
    return dataclasses.replace(plan, motion=motion)


def changed(value, name):
    """Give another value of the same kind."""
    if name == "hands.name":
        return "left_hand"
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return WORDS.get(name.partition(".")[2], "other")
    if isinstance(value, np.ndarray):
        return value[..., ::-1].copy() if "quaternions" in name else value + np.float32(0.5)
    if isinstance(value, dict):
        return {key: changed(inner, name) for key, inner in value.items()}
    return None if isinstance(value, BodyFit) else value[:1] if name == "contacts" else value + 1


def with_change(motion, name):
    outer, _, inner = name.partition(".")
    value = getattr(motion, outer)
    if not inner:
        return dataclasses.replace(motion, **{outer: changed(value, name)})
    part = value[0] if isinstance(value, tuple) else value
    part = dataclasses.replace(part, **{inner: changed(getattr(part, inner), name)})
    whole = (part, *value[1:]) if isinstance(value, tuple) else part
    return dataclasses.replace(motion, **{outer: whole})


def result_of(plan):
    result = conversions.make_result(ErrorCode.NONE)
    return conversions.fill_result(result, plan, "", return_frames=False)


def left_out():
    """Read the document's first column; a name with words after it is left out in part only."""
    table = DOCUMENT.read_text(encoding="utf-8").partition("| not in the result |")[2]
    rows = [line.split("|")[1] for line in table.partition("\n\n")[0].splitlines()[2:]]
    whole = [row for row in rows if " of the " not in row]
    return set(re.findall(r"`([a-z_.]+)`", " ".join(whole)))


def test_the_document_names_fields_that_exist():
    assert left_out() <= set(leaves())
    assert len(left_out()) > 5


@pytest.mark.parametrize("name", list(leaves()))
def test_a_field_is_carried_or_documented_as_left_out(plan, name):
    if name in FIXED or name == "target.quaternions_xyzw":
        # The target's orientation is `target_quaternions_xyzw`.
        return
    other = dataclasses.replace(plan, motion=with_change(plan.motion, name))
    is_carried = result_of(other) != result_of(plan)
    assert is_carried != (name in left_out()), name
