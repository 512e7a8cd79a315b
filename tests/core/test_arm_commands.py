"""A robot arm as the actor, by the commands alone: `tavid plan`, then `tavid retarget`."""

import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest

from tavid_core import cli
from tavid_core.frame_fit import FrameFit
from tavid_core.io import load_plan
from tavid_core.lifting.lift import lift
from tavid_core.types import InteractionPlan, Rollout
from tests.core.test_actor_parts import NOBODY, arm_mask
from tests.core.test_lift import CAMERA, depth_map
from tests.core.test_reach import GANTRY
from tests.drawn import draw_reach


class ArmPlanner:
    """Imagines the drawn arm, in which no person is seen; the lifting is the real one."""

    def __init__(self, clip):
        self.clip = clip

    def plan(self, request, on_progress=None):
        rollout = Rollout(frames=self.clip.frames, fps=8.0)
        fit = FrameFit(request.image.shape[:2], self.clip.frames.shape[1:3])
        return InteractionPlan(
            request=request,
            rollout=rollout,
            motion=lift(rollout, request, NOBODY, fit=fit),
            provenance={},
            planning_time_sec=0.1,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A plan folder that `tavid plan` wrote."""
    path, clip = tmp_path_factory.mktemp("arm"), draw_reach(1)
    cv2.imwrite(str(path / "image.png"), clip.frames[0][..., ::-1])
    for name, mask in (("mask", clip.masks[1]), ("actor", arm_mask(clip))):
        cv2.imwrite(str(path / f"{name}.png"), mask.astype(np.uint8) * 255)
    np.save(path / "depth.npy", depth_map(clip))
    (path / "camera.json").write_text(json.dumps(dataclasses.asdict(CAMERA)))
    words = ["plan", "--prompt", "A robot arm lifts the disc.", "--out", str(path / "plan")]
    for option, name in (
        ("image", "image.png"),
        ("mask", "mask.png"),
        ("actor-mask", "actor.png"),
        ("depth", "depth.npy"),
        ("camera", "camera.json"),
    ):
        words += [f"--{option}", str(path / name)]
    assert cli.main(words, lambda _: ArmPlanner(clip)) == 0
    return path / "plan"


def test_plan_of_an_arm_has_a_gripper_that_touches_and_no_body(folder, capsys):
    plan = load_plan(folder)
    assert plan.request.actor_mask.any()
    motion = plan.motion
    assert (motion.actor_kind, motion.contact.hand, motion.body) == ("arm", "gripper", ())
    assert motion.contact.touches_target
    assert [part.name for part in motion.segments][:2] == ["approach", "grasp"]
    assert cli.main(["show", str(folder)]) == 0
    assert "gripper" in capsys.readouterr().out


def test_an_arms_plan_becomes_a_path_that_another_arm_reaches(folder, tmp_path, capsys):
    robot, pose, table = (tmp_path / name for name in ("arm.xml", "pose.json", "path.csv"))
    robot.write_text(GANTRY)
    pose.write_text(json.dumps([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]]))
    words = ["retarget", str(folder), "--out", str(table), "--base-from-camera", str(pose)]
    assert cli.main([*words, "--robot", str(robot), "--end-effector", "tool"]) == 0
    assert "grasp: reached" in capsys.readouterr().out
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    motion = load_plan(folder).motion
    places = {
        phase: np.array(
            [[float(row[f"{axis}_m"]) for axis in "xyz"] for row in rows if row["phase"] == phase]
        )
        for phase in ("grasp", "transport")
    }
    target_m = motion.target.positions_camera_m + np.float32([0, 0, -1])
    start = motion.contact.start_frame
    assert np.linalg.norm(places["grasp"][-1] - target_m[start]) < 0.15
    # y points down: the path rises as far as the target does.
    rise_m = target_m[start, 1] - target_m[-1, 1]
    assert rise_m > 0.05
    assert places["transport"][0, 1] - places["transport"][-1, 1] == pytest.approx(rise_m, abs=0.03)
