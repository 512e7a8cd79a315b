"""Reachability on arms small enough to work out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tavid_core.errors import InputError
from tavid_core.gripper_path import GripperPath
from tavid_core.reach import check_reach

pytest.importorskip("mink", reason="mink is not installed")

# Three slides and three hinges: inside the box it reaches every pose, outside none.
GANTRY = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <body name="x"><joint type="slide" axis="1 0 0" range="-0.5 0.5" limited="true"/>
      <geom size="0.01"/>
      <body name="y"><joint type="slide" axis="0 1 0" range="-0.5 0.5" limited="true"/>
        <geom size="0.01"/>
        <body name="z"><joint type="slide" axis="0 0 1" range="-0.5 0.5" limited="true"/>
          <geom size="0.01"/>
          <body name="roll"><joint axis="1 0 0"/><geom size="0.01"/>
            <body name="pitch"><joint axis="0 1 0"/><geom size="0.01"/>
              <body name="yaw"><joint axis="0 0 1"/><geom size="0.01"/><site name="tool"/></body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
URDF = """
<robot name="slider">
  <link name="base"/>
  <link name="tool"><inertial><mass value="1"/>
    <inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="slide" type="prismatic"><parent link="base"/><child link="tool"/>
    <axis xyz="1 0 0"/><limit lower="-0.5" upper="0.5" effort="1" velocity="1"/></joint>
</robot>
"""


def make_path(positions_m, phases=None, turn=None):
    positions_m = np.array(positions_m, float)
    num_poses = len(positions_m)
    turn = Rotation.identity() if turn is None else turn
    return GripperPath(
        frame_id="base_link",
        times_sec=np.arange(num_poses) * 0.1,
        positions_m=positions_m,
        quaternions_xyzw=np.tile(turn.as_quat(), (num_poses, 1)),
        widths_m=np.zeros(num_poses),
        phases=phases or ("approach",) * num_poses,
        approach_direction=np.array([0.0, 0.0, 1.0]),
        slowdown=1.0,
        confidence=1.0,
        reasons={},
    )


@pytest.fixture(scope="module")
def gantry(tmp_path_factory):
    path = tmp_path_factory.mktemp("robot") / "gantry.xml"
    path.write_text(GANTRY)
    return path


def test_path_inside_is_reached_with_the_joints_that_do_it(gantry):
    positions = np.linspace([0, 0, 0], [0.4, 0.2, -0.1], 8)
    turn = Rotation.from_euler("z", 30, degrees=True)
    report = check_reach(make_path(positions, turn=turn), gantry, "tool")
    assert report.is_reached.all()
    np.testing.assert_allclose(report.joints[:, :3], positions, atol=0.002)
    np.testing.assert_allclose(report.joints[:, 5], np.deg2rad(30), atol=0.01)
    assert report.describe() == "approach: reached"


def test_part_outside_is_named(gantry):
    positions = np.linspace([0, 0, 0], [0.8, 0, 0], 9)
    phases = ("approach",) * 4 + ("transport",) * 5
    report = check_reach(make_path(positions, phases), gantry, "tool")
    assert report.is_reached.tolist() == [True] * 6 + [False] * 3
    assert report.unreached_phases == ("transport",)
    assert report.position_errors_m[-1] == pytest.approx(0.3, abs=0.005)
    assert (
        "transport: 3 of 5 poses not reached, 0.60 s to 0.80 s, by up to 30." in report.describe()
    )


def test_orientation_counts(tmp_path):
    (tmp_path / "slider.urdf").write_text(URDF)
    straight = check_reach(make_path([[0.1, 0, 0]] * 2), tmp_path / "slider.urdf", "tool")
    turned = make_path([[0.1, 0, 0]] * 2, turn=Rotation.from_euler("z", 90, degrees=True))
    report = check_reach(turned, tmp_path / "slider.urdf", "tool")
    assert straight.is_reached.all()
    assert not report.is_reached.any()
    assert report.turn_errors_rad[0] == pytest.approx(np.pi / 2, abs=0.01)


def test_unknown_end_effector_lists_what_there_is(gantry):
    with pytest.raises(InputError, match=r"got 'hand'. It has sites tool and bodies x, y, z, roll"):
        check_reach(make_path([[0, 0, 0]] * 2), gantry, "hand")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<mujoco", "must be an MJCF or URDF that MuJoCo reads"),
        ("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>", "must have joints, got none"),
    ],
)
def test_unusable_robot_file_is_refused(tmp_path, text, message):
    (tmp_path / "robot.xml").write_text(text)
    with pytest.raises(InputError, match=message):
        check_reach(make_path([[0, 0, 0]] * 2), tmp_path / "robot.xml", "tool")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be an MJCF or URDF"):
        check_reach(make_path([[0, 0, 0]] * 2), tmp_path / "none.xml", "tool")
