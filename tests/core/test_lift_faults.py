"""What must not be lifted as if it were sure: one table of broken videos, one of broken inputs."""

import dataclasses

import numpy as np
import pytest

from tavid_core.errors import InputError, ShapeError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.lift import lift
from tavid_core.types import CameraIntrinsics, PlanRequest, Rollout
from tests.drawn import draw_reach

CAMERA = CameraIntrinsics(fx=180.0, fy=180.0, cx=95.5, cy=63.5, width=192, height=128)
FIT = FrameFit((128, 192), (128, 192))


@pytest.fixture(scope="module")
def clip():
    """A still room with things in it, and a hand that lifts a disc."""
    drawn = draw_reach(1, scale=2)
    rng = np.random.default_rng(2)
    for row, column in rng.integers([112, 0], [124, 180], (30, 2)):
        drawn.frames[:, row : row + 4, column : column + 5] = rng.integers(0, 255, 3)
    return drawn


def request_of(clip, **changes):
    fields = {"depth_m": np.full((128, 192), 1.0, np.float32), "intrinsics": CAMERA} | changes
    return PlanRequest(
        image=clip.frames[0], target_mask=clip.masks[1], prompt="lift the disc", **fields
    )


def lift_of(clip, frames, **changes):
    keypoints = clip.keypoints()
    picks = np.minimum(np.arange(len(frames)), 16)
    keypoints = dataclasses.replace(
        keypoints, pixels=keypoints.pixels[picks], confidence=keypoints.confidence[picks]
    )
    return lift(Rollout(frames=frames, fps=8.0), request_of(clip, **changes), keypoints, fit=FIT)


def black(frames):
    return np.zeros_like(frames)


def some_black(frames):
    return np.where((np.arange(17) >= 10)[:, None, None, None], 0, frames).astype(np.uint8)


def cut(frames):
    return np.concatenate([frames[:9], 255 - frames[9:, ::-1]])


def panned(frames):
    return np.stack([np.roll(frame, 2 * t, axis=1) for t, frame in enumerate(frames)])


def vanished(frames):
    gone = draw_reach(1, reach=0.0, scale=2, centers=((20, 46), (-90, -90), (74, 45)))
    return np.concatenate([frames[:9], gone.frames[9:]])


VIDEOS = {
    # Fault: which channels must be unsure, and a word of the reason.
    black: (("hands", "target", "contact"), "blank"),
    some_black: (("hands", "target", "contact"), "7 of 17 frames are blank"),
    cut: (("hands", "target", "contact"), "as in a cut"),
    panned: (("hands", "target", "contact"), "the camera moves"),
    vanished: (("target",), "hidden or lost in"),
}


@pytest.mark.parametrize("fault", VIDEOS, ids=lambda fault: fault.__name__)
def test_a_broken_video_makes_its_channels_unsure(clip, fault):
    channels, word = VIDEOS[fault]
    motion = lift_of(clip, fault(clip.frames))
    for name in channels:
        assert motion.confidence[name] < 0.5, name
        assert motion.reasons[name], name
    assert word in motion.reasons["target"]
    # A frame that is lost has no place, and a place is never sure there.
    track = motion.target
    is_nan = np.isnan(track.positions_camera_m).any(axis=-1)
    assert (track.confidence[is_nan] == 0).all()
    if fault in (black, some_black, cut):
        lost = {black: slice(0, 17), some_black: slice(10, 17), cut: slice(9, 17)}[fault]
        assert is_nan[lost].all()
    if fault is vanished:
        assert track.confidence[10:].max() < 0.3


def test_one_frame_is_lifted_and_nothing_is_said_to_move(clip):
    motion = lift_of(clip, clip.frames[:1])
    assert motion.num_frames == 1
    assert not motion.contact.touches_target
    assert np.isfinite(motion.target.positions_camera_m).all()
    assert motion.confidence["contact"] < 0.5
    assert motion.confidence["rotation"] == 0


@pytest.mark.parametrize("depth", [np.nan, 0.0, np.inf, -1.0], ids=str)
def test_depth_that_is_none_is_not_believed(clip, depth):
    motion = lift_of(clip, clip.frames, depth_m=np.full((128, 192), depth, np.float32))
    assert motion.scale_source != "sensor"
    assert motion.confidence["scale"] < 0.5
    assert "no depth at the target" in motion.reasons["scale"]
    assert np.isfinite(motion.target.positions_camera_m).all()
    assert motion.target_dof == 3


def test_half_of_a_depth_map_is_enough_and_lowers_the_scale(clip):
    depth_m = np.full((128, 192), 1.0, np.float32)
    depth_m[:, ::2] = np.nan
    half = lift_of(clip, clip.frames, depth_m=depth_m)
    whole = lift_of(clip, clip.frames)
    assert half.scale_source == "sensor"
    assert half.confidence["scale"] < whole.confidence["scale"]
    away_m = half.target.positions_camera_m[0] - whole.target.positions_camera_m[0]
    assert np.abs(away_m).max() < 0.01


def test_depth_of_another_size_is_refused(clip):
    with pytest.raises(ShapeError, match=r"depth_m must have shape \(128, 192\)"):
        request_of(clip, depth_m=np.ones((64, 96), np.float32))


@pytest.mark.parametrize("changes", [{"fx": 0.0}, {"fy": 0.0}, {"fx": np.nan}, {"cx": np.inf}])
def test_singular_intrinsics_are_refused(changes):
    with pytest.raises(InputError, match="must have finite values and positive focal lengths"):
        dataclasses.replace(CAMERA, **changes)


def test_intrinsics_of_another_size_are_refused(clip):
    with pytest.raises(InputError, match="192"):
        request_of(clip, intrinsics=dataclasses.replace(CAMERA, width=96, height=64))


def test_no_actor_gives_no_hands_and_says_so(clip):
    keypoints = clip.keypoints(confidence=0.05)
    rollout = Rollout(frames=clip.frames, fps=8.0)
    motion = lift(rollout, request_of(clip), keypoints, fit=FIT)
    assert (motion.actor_kind, motion.hands, motion.contact.touches_target) == ("none", (), False)
    for name in ("actor", "hands", "contact"):
        assert motion.confidence[name] < 0.4
        assert motion.reasons[name]


def test_a_target_that_leaves_the_picture_has_no_place_after_that(clip):
    away = draw_reach(1, scale=2, lift=(70.0, -16.0))
    keypoints = away.keypoints()
    request = dataclasses.replace(request_of(clip), image=away.frames[0])
    motion = lift(Rollout(frames=away.frames, fps=8.0), request, keypoints, fit=FIT)
    gone = away.object_pixels[:, 1, 0] > 205
    assert gone.any()
    assert np.isnan(motion.target.positions_camera_m[gone]).all()
    assert (motion.target.confidence[gone] == 0).all()
    assert "leaves the picture" in motion.reasons.get("target", "")
