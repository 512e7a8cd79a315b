"""The simulated world drawn for real: masks, depth and camera agree, and the files are readable."""

import dataclasses

import cv2
import numpy as np
import pytest

from tavid_core.lifting.keypoints import HAND_NAMES
from training.clips import read_frames, read_mask, read_records, read_truth
from training.sources.sim import dataset, export_scenes
from training.sources.sim.motion import JOINT_NAMES
from training.sources.sim.render import SceneRenderer
from training.sources.sim.scene import sample_scene

pytestmark = pytest.mark.render

NUM_FRAMES = 11


@pytest.fixture(scope="module")
def renderer():
    """One OpenGL context for all tests; making it is the slow part."""
    pytest.importorskip("mujoco")
    with SceneRenderer(192, 128) as made:
        yield made


@pytest.fixture(scope="module")
def clip(renderer):
    """Three look-alikes, as in the demonstration."""
    return renderer.render(sample_scene(3, num_objects=3, look_alike=True), NUM_FRAMES)


def points_in_world(clip, mask):
    """Positions of the pixels of a mask by the depth map and the camera, (N, 3) metres."""
    rows, columns = np.nonzero(mask)
    depth_m, camera = clip.depth_m[rows, columns], clip.intrinsics
    x = (columns - camera.cx) / camera.fx * depth_m
    y = (rows - camera.cy) / camera.fy * depth_m
    points = np.stack([x, y, depth_m, np.ones_like(depth_m)], axis=1)
    return (points @ np.linalg.inv(clip.camera_from_world).T)[:, :3]


def test_masks_are_disjoint_and_none_is_empty(clip):
    layers = np.concatenate([clip.instance_masks, clip.actor_mask[None]])
    assert layers.shape == (4, 128, 192)
    assert layers.sum(axis=(1, 2)).min() > 20
    assert layers.sum(axis=0).max() == 1


def test_the_mask_is_where_the_target_is_drawn(renderer, clip):
    """Another colour of the target changes the pixels of its mask and no others."""
    scene, index = clip.scene, clip.scene.target_index
    color = "red" if scene.objects[index].color != "red" else "blue"
    painted = dataclasses.replace(scene.objects[index], color=color)
    objects = (*scene.objects[:index], painted, *scene.objects[index + 1 :])
    other = renderer.render(dataclasses.replace(scene, objects=objects), NUM_FRAMES)
    changed = np.abs(other.frames[0].astype(int) - clip.frames[0]).max(axis=2) > 12
    mask = clip.instance_masks[index]
    assert (changed & mask).sum() / (changed | mask).sum() > 0.85


def test_depth_mask_and_camera_give_the_place_of_every_object(clip):
    for mask, item in zip(clip.instance_masks, clip.scene.objects, strict=True):
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        points = points_in_world(clip, inner)
        away_m = np.linalg.norm(points - item.position_m, axis=1)
        assert away_m.max() < 0.11, "the surface is within the largest half diagonal"
        assert points[:, 2].min() > -0.005
        assert points[:, 2].max() < 2 * item.half_height_m + 0.005


def test_depth_at_the_target_is_its_distance_less_its_half_size(clip):
    index = clip.scene.target_index
    center = np.array([*clip.scene.objects[index].position_m, 1.0])
    distance_m = (clip.camera_from_world @ center)[2]
    column, row = np.rint(clip.object_pixels[0, index]).astype(int)
    assert clip.instance_masks[index, row, column]
    assert 0.01 < distance_m - clip.depth_m[row, column] < 0.09


def test_joints_are_drawn_where_they_are_projected(clip):
    for hand in HAND_NAMES:
        column, row = np.rint(clip.joint_pixels[0, JOINT_NAMES.index(hand)]).astype(int)
        assert clip.actor_mask[row, column], hand


def test_a_print_changes_the_objects_and_nothing_else(clip):
    scene = clip.scene
    with SceneRenderer(192, 128, is_textured=True) as textured:
        printed = textured.render(scene, NUM_FRAMES)
    np.testing.assert_array_equal(printed.instance_masks, clip.instance_masks)
    np.testing.assert_array_equal(printed.depth_m, clip.depth_m)
    changed = np.abs(printed.frames[0].astype(int) - clip.frames[0]).max(axis=2) > 12
    objects = clip.instance_masks.any(axis=0)
    assert changed[objects].mean() > 0.8
    assert changed[~objects].mean() < 0.01
    inner = cv2.erode(objects.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    steps = [np.abs(np.diff(c.frames[0].astype(int), axis=1)).max(axis=2) for c in (printed, clip)]
    assert steps[0][inner[:, 1:]].mean() > 4 * steps[1][inner[:, 1:]].mean()


def test_a_room_without_a_person_has_no_actor_pixels(renderer):
    clip = renderer.render(sample_scene(3, num_objects=2, has_actor=False), NUM_FRAMES)
    assert not clip.actor_mask.any()
    assert clip.instance_masks.any(axis=(1, 2)).all()


def test_written_clips_are_read_back(tmp_path):
    words = ["--out", str(tmp_path), "--num-clips", "2", "--workers", "1", "--split", "validation"]
    assert dataset.main([*words, "--num-frames", str(NUM_FRAMES)]) == 0
    records = read_records(tmp_path)
    assert [record.file_name for record in records] == ["clips/000000.mp4", "clips/000001.mp4"]
    for index, record in enumerate(records):
        scene = sample_scene(dataset.SPLIT_FIRST_SEED["validation"] + index)
        assert (record.text, record.contact_frame) == (scene.caption, scene.contact_frame)
        assert (record.source, record.licence, record.fps) == ("sim", "CC0-1.0", dataset.FPS)
        assert read_frames(tmp_path, record).shape == (NUM_FRAMES, 64, 96, 3)
        truth = read_truth(tmp_path, record)
        target = truth["instance_masks"][int(truth["target_index"])]
        np.testing.assert_array_equal(read_mask(tmp_path, record.mask_file), target)
        actor = read_mask(tmp_path, record.actor_mask_file)
        assert actor.any()
        assert not (actor & target).any()
        assert truth["joints_world_m"].shape == (NUM_FRAMES, len(JOINT_NAMES), 3)
        assert truth["depth_m"].shape == (64, 96)


def test_an_exported_scene_is_what_the_camera_node_reads(tmp_path):
    pytest.importorskip("rclpy")
    from tavid_ros.parameters import CameraParameters
    from tavid_ros.sources import open_source

    folder = tmp_path / "scene"
    words = ["--out", str(folder), "--seed", "30000000", "--width", "96", "--height", "64"]
    assert export_scenes.main(words) == 0
    (picture,) = open_source(CameraParameters(source="scene", path=str(folder)))
    assert picture.image.shape == (64, 96, 3)
    assert picture.mask.any()
    assert picture.depth_m.shape == (64, 96)
    assert 0.5 < picture.depth_m[picture.mask].mean() < 2.0
    assert (picture.intrinsics.width, picture.intrinsics.height) == (96, 64)
    assert picture.prompt == sample_scene(30_000_000).caption


def test_the_scene_of_an_arm_says_where_it_is(tmp_path):
    pytest.importorskip("rclpy")
    from tavid_ros.parameters import CameraParameters
    from tavid_ros.sources import open_source

    assert export_scenes.main(["--out", str(tmp_path), "--width", "96", "--height", "64"]) == 0
    names = {*export_scenes.SCENE_SEEDS, export_scenes.ARM_SCENE}
    assert {path.name for path in tmp_path.iterdir()} == names
    actors = {}
    for name in names:
        (picture,) = open_source(CameraParameters(source="scene", path=str(tmp_path / name)))
        actors[name] = picture.actor_mask
        assert picture.prompt
    arm_mask = actors.pop(export_scenes.ARM_SCENE)
    assert arm_mask.sum() > 100
    assert set(actors.values()) == {None}
