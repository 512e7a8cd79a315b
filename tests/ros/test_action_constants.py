"""The action's constants are the core's error codes: one meaning from the model to the robot."""

import pytest
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode


@pytest.mark.parametrize("code", list(ErrorCode), ids=lambda code: code.name)
def test_every_error_code_is_a_constant(code):
    assert getattr(PlanInteraction.Result, code.name) == code.value


def test_no_constant_is_unknown_to_the_core():
    result = type(PlanInteraction.Result)
    names = {name for name in dir(result) if name.isupper() and not name.startswith("_")}
    constants = {name for name in names if isinstance(getattr(PlanInteraction.Result, name), int)}
    assert constants == {code.name for code in ErrorCode}


def test_unset_goal_means_the_defaults_of_the_node():
    goal = PlanInteraction.Goal()
    assert (goal.seed, goal.num_inference_steps, goal.num_frames) == (0, 0, 0)
    assert goal.guidance_scale == 0.0
    assert not goal.return_frames
    assert (goal.num_candidates, goal.keep_alive_sec) == (0, 0.0)
    assert goal.image.width == goal.depth.width == goal.camera_info.width == 0
