"""What happens to the pictures of a bag's camera on their way to a clip."""

import dataclasses

import numpy as np
import pytest

from benchmarks.bag_maker import BagScene, make_messages, write_mcap
from tavid_core.distortion import LensDistortion, Rectifier
from tavid_core.errors import InputError, ShapeError
from tavid_core.frame_fit import FrameFit
from tavid_core.types import CameraIntrinsics
from tests.training.sources.bags.bag_helpers import RAW_CAMERA, change_entries, read_recordings
from training.sources.bags.camera_view import CameraView
from training.sources.bags.topic_map import TopicMap

SIZE_HW, MODEL_HW = (90, 160), (64, 96)
INTRINSICS = CameraIntrinsics(fx=150, fy=140, cx=80, cy=44, width=160, height=90)
BEND = LensDistortion(model="plumb_bob", coefficients=(-0.2, 0.05, 0.001, 0.0, 0.0))
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)


def square(top, left):
    mask = np.zeros(SIZE_HW, bool)
    mask[top : top + 20, left : left + 20] = True
    return mask


def test_straight_pictures_are_cropped_and_resized_with_their_intrinsics():
    view, fit = CameraView(SIZE_HW, MODEL_HW, INTRINSICS), FrameFit(SIZE_HW, MODEL_HW)
    np.testing.assert_array_equal(view.view_image(IMAGE), fit.fit_image(IMAGE))
    mask = square(30, 70)
    np.testing.assert_array_equal(
        view.view_mask(mask, name="target_mask", may_be_cut=False), fit.fit_mask(mask)
    )
    assert view.intrinsics == fit.fit_intrinsics(INTRINSICS)
    assert CameraView(SIZE_HW, MODEL_HW).intrinsics is None


def test_a_bent_lens_is_undone_in_everything():
    view = CameraView(SIZE_HW, MODEL_HW, INTRINSICS, BEND)
    straight, fit = Rectifier(INTRINSICS, BEND), FrameFit(SIZE_HW, MODEL_HW)
    np.testing.assert_array_equal(
        view.view_image(IMAGE), fit.fit_image(straight.rectify_image(IMAGE))
    )
    depth_m = np.linspace(1, 2, 90 * 160, dtype=np.float32).reshape(SIZE_HW)
    np.testing.assert_array_equal(
        view.view_depth(depth_m), fit.fit_depth(straight.rectify_depth(depth_m))
    )
    assert view.intrinsics == dataclasses.replace(
        fit.fit_intrinsics(straight.intrinsics), has_distortion=False
    )
    assert view.intrinsics.fx != fit.fit_intrinsics(INTRINSICS).fx


def test_masks_outside_of_the_window():
    view = CameraView(SIZE_HW, MODEL_HW)
    assert view.view_mask(np.zeros(SIZE_HW, bool), name="target_mask", may_be_cut=False) is None
    assert view.view_mask(square(0, 0), name="actor_mask", may_be_cut=True).any()
    with pytest.raises(InputError, match="target_mask must lie within columns 12"):
        view.view_mask(square(0, 0), name="target_mask", may_be_cut=False)
    edge = np.zeros(SIZE_HW, bool)
    edge[:, :5] = True
    assert view.view_mask(edge, name="actor_mask", may_be_cut=True) is None
    with pytest.raises(ShapeError, match="Record masks of the size of their images"):
        view.view_mask(edge[:50], name="actor_mask", may_be_cut=True)
    with pytest.raises(ShapeError, match="Register it to the image"):
        view.view_depth(np.zeros((50, 50), np.float32))


SCENE = BagScene(num_images=20, is_compressed=False, size_hw=(80, 120))


def bend(_, entry, d=(-0.2, 0.05, 0.001, 0.0, 0.0), model="plumb_bob"):
    if entry.topic != "/camera/camera_info":
        return entry
    message = dataclasses.replace(entry.message, d=np.array(d), distortion_model=model)
    return dataclasses.replace(entry, message=message)


def read(tmp_path, change, image=RAW_CAMERA.image, **changes):
    path = tmp_path / "bag.mcap"
    write_mcap(path, change_entries(SCENE, change))
    camera = dataclasses.replace(RAW_CAMERA, depth=None, image=image)
    topic_map = TopicMap(cameras={"front": camera}, **changes)
    (recording,), report = read_recordings(path, tmp_path / "spool", topic_map)
    return recording, [note.reason for note in report.notes]


def test_rectify_auto_undoes_the_lens_that_camera_info_states(tmp_path):
    recording, notes = read(tmp_path, bend)
    assert notes == []
    view = recording.index.make_view()
    assert recording.index.distortion.model == "plumb_bob"
    np.testing.assert_array_equal(recording.frames[0], view.view_image(SCENE.draw(0)))
    assert (recording.frames[0] != FrameFit((80, 120), MODEL_HW).fit_image(SCENE.draw(0))).any()


def test_rectify_never_leaves_the_lens(tmp_path):
    recording, notes = read(tmp_path, bend, rectify="never")
    assert notes == ["a distortion that is not undone"]
    plain = FrameFit((80, 120), MODEL_HW).fit_image(SCENE.draw(0))
    np.testing.assert_array_equal(recording.frames[0], plain)
    assert recording.index.intrinsics is None


def test_a_lens_of_an_unknown_model_is_told(tmp_path):
    recording, notes = read(tmp_path, lambda n, e: bend(n, e, model="my_lens"))
    assert notes == ["a distortion that is not undone"]
    assert recording.index.make_view().intrinsics is None


def test_a_calibration_that_makes_no_sense_is_told(tmp_path):
    def ruin(_, entry):
        if entry.topic != "/camera/camera_info":
            return entry
        message = dataclasses.replace(entry.message, k=np.full(9, -1.0))
        return dataclasses.replace(entry, message=message)

    recording, notes = read(tmp_path, ruin)
    assert notes == ["a camera_info that cannot be used"]
    assert recording.index.intrinsics is None


def test_another_calibration_begins_a_recording(tmp_path):
    path = tmp_path / "bag.mcap"
    infos = iter(range(100))

    def turn(_, entry):
        if entry.topic != "/camera/camera_info" or next(infos) < 10:
            return entry
        message = dataclasses.replace(entry.message, k=entry.message.k * 1.5)
        return dataclasses.replace(entry, message=message)

    write_mcap(path, change_entries(SCENE, turn))
    topic_map = TopicMap(cameras={"front": dataclasses.replace(RAW_CAMERA, depth=None)})
    recordings, report = read_recordings(path, tmp_path / "spool", topic_map)
    assert [note.reason for note in report.notes] == ["another calibration"]
    first, second = (recording.index.intrinsics for recording in recordings)
    assert second.fx == 1.5 * first.fx


def test_a_calibration_recorded_once_holds_for_the_whole_bag(tmp_path):
    seen = iter(range(100))

    def once(_, entry):
        return entry if entry.topic != "/camera/camera_info" or next(seen) == 0 else None

    path = tmp_path / "bag.mcap"
    write_mcap(path, (e for e in make_messages(SCENE) if once(0, e) is not None))
    topic_map = TopicMap(cameras={"front": dataclasses.replace(RAW_CAMERA, depth=None)})
    (recording,), _ = read_recordings(path, tmp_path / "spool", topic_map)
    assert recording.index.make_view().intrinsics.width == MODEL_HW[1]
