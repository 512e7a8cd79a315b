"""The harder world: what it promises about targets, look-alikes, captions, arms and cameras."""

import re

import numpy as np
import pytest

from tavid_core.errors import ConfigError
from training.clips import read_frames, read_records, read_truth
from training.sources.sim import dataset
from training.sources.sim.arm import ARM_JOINT_NAMES, HAND_LENGTH_M, LINK_M, plan_arm_motion
from training.sources.sim.harder import (
    CAMERAS,
    MIN_SHARE,
    HarderOptions,
    sample_harder_scene,
)
from training.sources.sim.parts import HARDER_KINDS, MAX_PARTS, PARTS, UNSEEN_KINDS
from training.sources.sim.scene import COLORS

SEEDS = range(40)
DRAWN = HarderOptions()


def sample_many(count=400, **options):
    return [sample_harder_scene(seed, HarderOptions(**options)) for seed in range(count)]


def test_the_same_arguments_give_the_same_scene():
    assert sample_harder_scene(5, DRAWN) == sample_harder_scene(5, DRAWN)
    others = (sample_harder_scene(6, DRAWN), sample_harder_scene(5, DRAWN, attempt=1))
    assert sample_harder_scene(5, DRAWN) not in others


def test_options_fix_what_they_name():
    scene = sample_harder_scene(3, HarderOptions(num_objects=5, look_alike=True, actor="arm"))
    assert (len(scene.objects), scene.actor) == (5, "arm")
    looks = {(item.kind, item.color, item.scale) for item in scene.objects}
    assert len(looks) == 1
    low = sample_harder_scene(3, HarderOptions(camera="low"))
    assert CAMERAS["low"][0] <= low.camera_height_m <= CAMERAS["low"][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_objects": 2}, r"num_objects must be in 3\.\.6"),
        ({"actor": "dog"}, "actor must be one of"),
        ({"camera": "fish"}, "camera must be one of"),
    ],
)
def test_unknown_values_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        HarderOptions(**options)


def test_training_never_shows_the_unseen_kinds():
    assert not set(HARDER_KINDS) & set(UNSEEN_KINDS)
    drawn = {item.kind for scene in sample_many() for item in scene.objects}
    assert drawn == set(HARDER_KINDS)
    unseen = {o.kind for scene in sample_many(unseen_kinds=True) for o in scene.objects}
    assert unseen == set(UNSEEN_KINDS)


def test_captions_fit_one_object_several_or_none_and_name_the_actor():
    fits = []
    for scene in sample_many():
        assert scene.caption.startswith("A robot arm" if scene.actor == "arm" else "A person")
        words = scene.caption.rstrip(".").split()
        color = next((word for word in words if word in COLORS), None)
        kind = next((word for word in words if word in PARTS), None)
        fits.append(
            sum(color in (None, item.color) and kind in (None, item.kind) for item in scene.objects)
        )
    shares = [
        np.mean(fits == np.array(0)),
        np.mean(np.array(fits) == 1),
        np.mean(np.array(fits) > 1),
    ]
    assert 0.05 < shares[0] < 0.2
    assert shares[1] > 0.05
    assert shares[2] > 0.5


def test_clutter_is_never_the_target_and_has_no_named_colour():
    scenes = sample_many()
    assert min(len(scene.clutter) for scene in scenes) >= 1
    assert {item.kind for s in scenes for item in s.clutter}.isdisjoint(HARDER_KINDS + UNSEEN_KINDS)
    screened = np.mean([any(item.kind == "carton" for item in s.clutter) for s in scenes])
    assert 0.2 < screened < 0.4


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_every_kind_stands_on_the_table(kind):
    assert 1 <= len(PARTS[kind]) <= MAX_PARTS
    item = sample_harder_scene(0, DRAWN).objects[0]
    assert item.position_m[2] == pytest.approx(item.half_height_m)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_arm_keeps_its_links_and_carries_the_target(seed):
    scene = sample_harder_scene(seed, HarderOptions(actor="arm"))
    motion = plan_arm_motion(scene)
    joints = dict(zip(ARM_JOINT_NAMES, np.moveaxis(motion.joints_world_m, 1, 0), strict=True))
    for start, end, length in (
        ("shoulder", "elbow", LINK_M[0]),
        ("elbow", "wrist", LINK_M[1]),
        ("wrist", "gripper", HAND_LENGTH_M),
    ):
        lengths = np.linalg.norm(joints[end] - joints[start], axis=1)
        np.testing.assert_allclose(lengths, length, atol=1e-6)
    assert np.ptp(joints["shoulder"], axis=0).max() == 0
    target = motion.objects_world_m[:, scene.target_index]
    held = slice(scene.contact_frame, None)
    assert np.ptp((joints["gripper"] - target)[held], axis=0).max() < 1e-9
    assert np.linalg.norm((joints["gripper"] - target)[scene.contact_frame]) < 0.09
    assert np.linalg.norm((joints["gripper"] - target)[0]) > 0.12
    assert target[-1, 2] - target[0, 2] == pytest.approx(scene.lift_height_m)


@pytest.mark.render
def test_drawn_targets_are_large_enough_and_clips_are_read_back(tmp_path):
    pytest.importorskip("mujoco")
    words = ["--out", str(tmp_path), "--num-clips", "4", "--workers", "1", "--world", "mixed"]
    assert dataset.main([*words, "--split", "validation", "--num-frames", "11"]) == 0
    records = read_records(tmp_path)
    truths = [read_truth(tmp_path, record) for record in records]
    assert truths[0]["actor"] == "person", "one clip in three is of the easy world"
    for record, truth in zip(records, truths, strict=True):
        assert read_frames(tmp_path, record).shape == (11, 64, 96, 3)
        target = truth["instance_masks"][int(truth["target_index"])]
        assert target.mean() >= MIN_SHARE
        assert truth["joints_world_m"].shape == (11, len(truth["joint_names"]), 3)
        assert str(truth["hand"]) in truth["joint_names"]
        assert truth["instance_masks"].any(axis=(1, 2)).all()


@pytest.mark.render
def test_a_run_that_was_broken_off_goes_on(tmp_path):
    pytest.importorskip("mujoco")
    words = ["--out", str(tmp_path), "--num-clips", "2", "--workers", "1", "--num-frames", "11"]
    assert dataset.main(words) == 0
    clip = tmp_path / "clips/000000.mp4"
    clip.write_bytes(b"kept")
    assert dataset.main(words) == 0
    assert clip.read_bytes() == b"kept", "what is drawn is not drawn again"
    assert dataset.main([*words, "--look-alikes"]) == 0
    assert clip.read_bytes() != b"kept", "other options draw other clips"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-objects", "5"], r"in 2\.\.4 in world 0, got 5"),
        (["--world", "1", "--num-objects", "2"], r"in 3\.\.6 in world 1, got 2"),
        (["--actor", "arm"], "need --world 1"),
        (["--world", "1", "--textured"], "needs --world 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        dataset.main(["--out", str(tmp_path), *words])
    assert re.search(message, capsys.readouterr().err)
