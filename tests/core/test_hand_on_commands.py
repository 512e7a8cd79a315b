"""`tavid export`, `tavid retarget` and `tavid sequence`: from saved plans to what others read."""

import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest

from tavid_core import cli
from tavid_core.errors import NonFiniteError
from tavid_core.io import load_plan, save_plan
from tests.core.test_body_mesh import write_smplx
from tests.core.test_export_glb import Glb
from tests.core.test_reach import GANTRY
from tests.core.test_sequence import FIRST, SECOND, DrawnPlanner
from tests.drawn import draw_plan, draw_reach, fill_plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "mug"
    save_plan(fill_plan(draw_plan()), path)
    return path


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_per_frame_and_name(folder, tmp_path, capsys):
    table = tmp_path / "new" / "mug.csv"
    assert cli.main(["export", str(folder), "--to", "csv", "--out", str(table)]) == 0
    assert capsys.readouterr().out == f"17 frames as csv in {table}\n"
    rows, motion = read_table(table), load_plan(folder).motion
    assert {row["name"] for row in rows} == {"right_hand", "target"}
    hand = [row for row in rows if row["name"] == "right_hand"]
    positions = [[float(row[f"{axis}_m"]) for axis in "xyz"] for row in hand]
    np.testing.assert_allclose(positions, motion.hands[0].positions_camera_m, rtol=1e-5)
    # What is unknown is empty, not a number that somebody might believe.
    assert (hand[2]["qx"], hand[5]["aperture_m"]) == ("", "")
    assert float(hand[16]["time_sec"]) == 2.0


def test_glb_holds_the_body(folder, tmp_path):
    path = tmp_path / "mug.glb"
    assert cli.main(["export", str(folder), "--to", "glb", "--out", str(path)]) == 0
    document = Glb(path.read_bytes()).json
    assert [mesh["name"] for mesh in document["meshes"]][:2] == ["body STANDIN", "target"]


class BodyPlanner:
    """Answers with a plan that has a fitted body."""

    def plan(self, request, on_progress=None):
        return dataclasses.replace(fill_plan(draw_plan()), request=request)


@pytest.mark.parametrize("word", ["--mesh", "--body-fit=mesh", "--body-fit=joints"])
def test_mesh_is_a_choice_of_the_command(scene, tmp_path, word):
    image, mask = scene[0][2], scene[0][-2]
    words = ["plan", "--image", image, "--mask", mask, "--prompt", "lift it", word]
    assert cli.main([*words, "--out", str(tmp_path / "p")], lambda _: BodyPlanner()) == 0
    mesh = tmp_path / "p" / "motion.glb"
    assert mesh.is_file() == (word != "--body-fit=joints")
    assert not mesh.is_file() or "skins" in Glb(mesh.read_bytes()).json


def test_body_without_a_surface_is_refused_before_planning(scene, tmp_path, capsys):
    write_smplx(tmp_path / "S.npz")
    image, mask = scene[0][2], scene[0][-2]
    words = ["plan", "--image", image, "--mask", mask, "--prompt", "lift it", "--mesh"]
    words += ["--body-model", str(tmp_path / "S.npz"), "--out", str(tmp_path / "p")]
    assert cli.main(words, lambda _: pytest.fail("planned")) == 1
    assert "S.npz must hold a surface" in capsys.readouterr().err


def test_retarget_writes_the_path_and_says_what_is_reached(folder, tmp_path, capsys):
    robot, pose, table = (tmp_path / name for name in ("arm.xml", "pose.json", "path.csv"))
    robot.write_text(GANTRY)
    # One metre back, so that the scene lies in the gantry's box.
    pose.write_text(json.dumps([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]]))
    words = ["retarget", str(folder), "--out", str(table), "--base-from-camera", str(pose)]
    assert cli.main([*words, "--robot", str(robot), "--end-effector", "tool"]) == 0
    told = capsys.readouterr().out
    assert "poses in base: approach 0.00 to" in told
    assert "grasp: reached" in told
    phases = [row["phase"] for row in read_table(table)]
    assert sorted(set(phases), key=phases.index) == ["approach", "pre_grasp", "grasp", "transport"]


@pytest.mark.parametrize("text", ["{", "[[1, 2], [3, 4]]", '{"a": 1}', "[[1, 2], [3]]"])
def test_unusable_pose_is_refused(folder, tmp_path, capsys, text):
    (tmp_path / "pose.json").write_text(text)
    words = ["--out", str(tmp_path / "p.csv"), "--base-from-camera", str(tmp_path / "pose.json")]
    assert cli.main(["retarget", str(folder), *words]) == 2
    assert "base-from-camera must be" in capsys.readouterr().err


def test_plan_without_contact_has_no_gripper_path(tmp_path, capsys):
    save_plan(draw_plan(hand_confidence=0.0), tmp_path / "plan")
    assert cli.main(["retarget", str(tmp_path / "plan"), "--out", str(tmp_path / "p.csv")]) == 2
    assert "motion must have a hand that touches the target" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


@pytest.fixture
def scene(tmp_path):
    big = draw_reach(1, scale=4)
    cv2.imwrite(str(tmp_path / "scene.png"), big.frames[0][..., ::-1])
    cv2.imwrite(str(tmp_path / "mask.png"), big.masks[1].astype(np.uint8) * 255)
    x, y = big.object_pixels[0, 2]
    words = ["sequence", "--image", str(tmp_path / "scene.png"), "--out", str(tmp_path / "out")]
    return [*words, "--step", str(tmp_path / "mask.png"), "first"], f"{x:.0f},{y:.0f}"


def test_sequence_saves_a_folder_per_step_and_the_whole_motion(scene, tmp_path, capsys):
    words, pixel = scene
    planner = DrawnPlanner(FIRST, SECOND)
    assert cli.main([*words, "--step", pixel, "then the right one"], lambda _: planner) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("step_1: target touched at ")
    second = load_plan(tmp_path / "out" / "step_2")
    assert second.request.prompt == "then the right one"
    document = json.loads((tmp_path / "out" / "motion.json").read_text())
    assert document["first_frames"] == [0, 16]
    with np.load(tmp_path / "out" / "motion.npz", allow_pickle=False) as arrays:
        assert len(arrays["time_sec"]) == len(arrays["target.positions_camera_m"]) == 33


def test_actor_mask_is_for_the_first_step(scene, tmp_path):
    words, pixel = scene
    mask = np.zeros((256, 384), np.uint8)
    mask[:40, 50:90] = 255
    cv2.imwrite(str(tmp_path / "actor.png"), mask)
    planner = DrawnPlanner(FIRST, SECOND)
    words += ["--actor-mask", str(tmp_path / "actor.png"), "--step", pixel, "then"]
    assert cli.main(words, lambda _: planner) == 0
    first, second = planner.requests
    np.testing.assert_array_equal(first.actor_mask, mask > 0)
    assert second.actor_mask is None


def test_broken_sequence_keeps_the_steps_that_are_done(scene, tmp_path, capsys):
    words, _ = scene
    gone = draw_reach(1, lift=(0.0, -90.0))
    mask = words[-2]
    planner = DrawnPlanner(gone, SECOND)
    assert cli.main([*words, "--step", mask, "again"], lambda _: planner) == 2
    assert "step 2 must be in sight when step 1 ends" in capsys.readouterr().err
    assert load_plan(tmp_path / "out" / "step_1").request.prompt == "first"


def test_steps_before_a_failure_are_kept(scene, tmp_path):
    words, pixel = scene

    class Breaking(DrawnPlanner):
        def plan(self, request, on_progress=None, should_stop=None):
            if request.prompt == "fail":
                raise NonFiniteError("the model must give numbers, got NaN")
            return super().plan(request, on_progress, should_stop)

    planner = Breaking(FIRST, SECOND)
    assert cli.main([*words, "--step", pixel, "fail"], lambda _: planner) == 1
    assert load_plan(tmp_path / "out" / "step_1").request.prompt == "first"


def test_target_that_is_neither_file_nor_pixel_is_refused(scene, capsys):
    words, _ = scene
    assert cli.main([*words, "--step", "mug,left", "again"], lambda _: DrawnPlanner()) == 2
    assert "step must name a mask file or a pixel X,Y, got 'mug,left'" in capsys.readouterr().err
