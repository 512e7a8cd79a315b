"""A disc that is taken, put down, and taken again, by the same hand or by the other."""

import numpy as np
import pytest

from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.contacts import find_touches
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.lift import lift
from tavid_core.lifting.target_sight import watch_target
from tavid_core.types import CameraIntrinsics, PlanRequest, Rollout
from tests.drawn import _disc, _draw

# Where the disc is first, is put down, and is taken to at last.
PLACES = np.array([[30.0, 50.0], [60.0, 50.0], [60.0, 34.0]])
ABOVE = np.array([0.0, -5.0])
REST = {"right_hand": np.array([45.0, 18.0]), "left_hand": np.array([85.0, 18.0])}
TAKEN, PUT_DOWN, AWAY, TAKEN_AGAIN, END = 5, 12, 17, 23, 30


def between(first, last, t, start, end):
    share = np.clip((t - start) / (end - start), 0, 1)
    return first + share * (last - first)


def draw_regrasp(second, *, is_taken_again=True):
    """Frames, keypoints of both hands, the disc's path and its mask."""
    frames, hands, discs = [], [], []
    for t in range(END + 1):
        disc = between(PLACES[0], PLACES[1], t, TAKEN, PUT_DOWN)
        right = between(REST["right_hand"], PLACES[0] + ABOVE, t, 0, TAKEN)
        right = right + (disc - PLACES[0] if t > TAKEN else 0)
        left = REST["left_hand"].copy()
        if t > PUT_DOWN:
            right = between(PLACES[1] + ABOVE, REST["right_hand"], t, PUT_DOWN, AWAY)
        if t > AWAY and is_taken_again:
            coming = between(REST[second], PLACES[1] + ABOVE, t, AWAY, TAKEN_AGAIN)
            disc = between(PLACES[1], PLACES[2], t, TAKEN_AGAIN, END)
            coming = coming + disc - PLACES[1]
            right, left = (coming, left) if second == "right_hand" else (right, coming)
        frame = _draw(64, 96, 5, [disc], right)
        _disc(frame, left, 3.5, (225, 175, 145))
        frames.append(frame)
        hands.append([left, right])
        discs.append(disc)
    rows, columns = np.mgrid[:64, :96]
    mask = np.hypot(columns - PLACES[0][0], rows - PLACES[0][1]) <= 5
    pixels = np.array(hands, dtype=np.float32)
    names = ("left_hand", "right_hand")
    keypoints = Keypoints(names, pixels, np.full(pixels.shape[:2], 0.9, np.float32))
    return np.stack(frames), keypoints, np.array(discs), mask


def touches_in(frames, keypoints, mask):
    sight = watch_target(frames, mask)
    return find_touches(frames, keypoints, sight.track, mask, hand_names=keypoints.names)


@pytest.mark.parametrize("second", ["right_hand", "left_hand"])
def test_a_target_taken_twice_has_two_contacts(second):
    frames, keypoints, _, mask = draw_regrasp(second)
    touches = touches_in(frames, keypoints, mask)
    first, again = touches.with_target
    assert touches.main is first
    assert (first.hand, again.hand) == ("right_hand", second)
    assert abs(first.start_frame - TAKEN) <= 1
    assert PUT_DOWN <= first.end_frame <= PUT_DOWN + 3
    assert abs(again.start_frame - TAKEN_AGAIN) <= 2
    assert again.end_frame == END
    assert again.moves_target
    assert again.confidence > 0.5


def test_a_target_that_is_put_down_and_left_has_one_contact():
    frames, keypoints, _, mask = draw_regrasp("right_hand", is_taken_again=False)
    (contact,) = touches_in(frames, keypoints, mask).with_target
    assert PUT_DOWN <= contact.end_frame <= PUT_DOWN + 3


def test_between_two_contacts_the_target_stands_where_it_was_put():
    frames, keypoints, discs, mask = draw_regrasp("left_hand")
    camera = CameraIntrinsics(fx=90.0, fy=90.0, cx=47.5, cy=31.5, width=96, height=64)
    depth_m = np.full((64, 96), 1.0, dtype=np.float32)
    request = PlanRequest(
        image=frames[0], target_mask=mask, prompt="lift", depth_m=depth_m, intrinsics=camera
    )
    fit = FrameFit((64, 96), (64, 96))
    motion = lift(Rollout(frames=frames, fps=8.0), request, keypoints, fit=fit)
    assert [c.hand for c in motion.contacts] == ["right_hand", "left_hand"]
    standing = motion.target.positions_camera_m[PUT_DOWN + 3 : TAKEN_AGAIN]
    assert np.ptp(standing, axis=0).max() < 0.03
    place = motion.target.pixels[TAKEN_AGAIN - 2]
    assert np.linalg.norm(place - discs[TAKEN_AGAIN - 2]) < 2.5
    phases = [(segment.name, segment.hand) for segment in motion.segments]
    assert ("transport", "right_hand") in phases
    assert ("transport", "left_hand") in phases
