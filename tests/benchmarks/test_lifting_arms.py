"""Arms under the lifting: what is counted, on drawn scenes."""

import pytest

from benchmarks.lifting_arms import ArmScene, judge_scene, main, summarize_scenes
from tavid_core.types import PlanRequest
from tests.core.test_arm import is_arm
from tests.core.test_lift import CAMERA, depth_map
from tests.drawn import CONTACT_FRAME, draw_reach


def scene_of(target, *, marked=None, contact_frame=CONTACT_FRAME):
    clip = draw_reach(target)
    masks = list(clip.masks)
    request = PlanRequest(
        image=clip.frames[0],
        target_mask=masks.pop(target if marked is None else marked),
        prompt="The arm lifts the disc.",
        actor_mask=is_arm(clip.frames[0]),
        depth_m=depth_map(clip),
        intrinsics=CAMERA,
    )
    halted = clip.frames.copy()
    halted[CONTACT_FRAME - 4 :] = halted[CONTACT_FRAME - 4]
    videos = {"drawn_64": clip.frames, "halted_64": halted, "imagined_64": clip.frames}
    return ArmScene(request, masks, videos, contact_frame)


def test_touch_of_the_marked_and_of_no_other_object_is_counted():
    row = judge_scene(scene_of(1))
    assert row == {
        "drawn_64_touched": 1,
        "drawn_64_from_start": 0,
        "drawn_64_within_one_frame": 1,
        "drawn_64_other_touched": 0,
        "halted_64_touched": 0,
        "imagined_64_touched": 1,
        "imagined_64_from_start": 0,
        "imagined_64_other_touched": 0,
    }


def test_another_mask_and_a_late_touch_are_seen_as_such():
    row = judge_scene(scene_of(1, marked=0))
    assert row["drawn_64_touched"] == row["drawn_64_within_one_frame"] == 0
    assert row["drawn_64_other_touched"] == pytest.approx(0.5)
    assert judge_scene(scene_of(1, contact_frame=3))["drawn_64_within_one_frame"] == 0


def test_scenes_are_averaged():
    rows = [{"a_touched": 1.0}, {"a_touched": 0.0}, {"a_touched": 0.5}]
    assert summarize_scenes(rows) == {"num_scenes": 3, "a_touched": 0.5}


def test_no_scene_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--num-scenes", "0"])
    assert "--num-scenes must be at least 1, got 0" in capsys.readouterr().err
