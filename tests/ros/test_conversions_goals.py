"""Goals, feedback and results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, InputError
from tavid_core.types import Contact, PlanProgress
from tavid_ros import conversions
from tavid_ros.conversions import GoalNumbers
from tests.drawn import fill_plan
from tests.ros.messages import make_motion, make_plan, make_request


def test_error_codes_equal_the_constants_of_the_action():
    for code in ErrorCode:
        assert getattr(PlanInteraction.Result, code.name) == int(code)


def test_goal_carries_the_whole_request():
    request = make_request()
    goal = conversions.goal_from_request(request, return_frames=True)
    np.testing.assert_array_equal(conversions.image_from_message(goal.image), request.image)
    np.testing.assert_array_equal(
        conversions.mask_from_message(goal.target_mask), request.target_mask
    )
    np.testing.assert_array_equal(
        conversions.mask_from_message(goal.actor_mask), request.actor_mask
    )
    np.testing.assert_array_equal(conversions.depth_from_message(goal.depth), request.depth_m)
    assert conversions.intrinsics_from_message(goal.camera_info) == request.intrinsics
    assert conversions.nanoseconds_from_time(goal.image.header.stamp) == request.stamp_ns
    assert goal.image.header.frame_id == request.frame_id
    numbers = conversions.numbers_from_goal(goal, GoalNumbers())
    assert numbers == GoalNumbers(seed=7, num_inference_steps=4, guidance_scale=3.0, num_frames=17)
    assert goal.return_frames


def test_zero_means_the_default_of_the_node():
    defaults = GoalNumbers(seed=3, num_inference_steps=9, guidance_scale=2.5, num_frames=49)
    assert conversions.numbers_from_goal(PlanInteraction.Goal(), defaults) == defaults


def test_guidance_that_is_no_number_is_refused():
    goal = PlanInteraction.Goal(guidance_scale=float("nan"))
    with pytest.raises(InputError, match=r"guidance_scale must be in 0\.\.30, got nan"):
        conversions.numbers_from_goal(goal, GoalNumbers())


@given(st.text(max_size=300))
def test_clean_prompts_are_one_printable_line(text):
    prompt = conversions.clean_prompt(text)
    assert prompt == conversions.clean_prompt(prompt)
    assert "\n" not in prompt
    assert "\x00" not in prompt
    assert prompt == prompt.strip()


@pytest.mark.parametrize("length", [1025, 100_000])
def test_long_prompts_are_refused(length):
    with pytest.raises(InputError, match="prompt must have 1 to 1024 characters"):
        conversions.clean_prompt("x" * length)


def test_feedback_says_unknown_remaining_time():
    progress = PlanProgress(stage="denoise", step=3, total_steps=20, elapsed_sec=1.25)
    feedback = conversions.feedback_from_progress(progress)
    assert (feedback.stage, feedback.step, feedback.total_steps) == ("denoise", 3, 20)
    assert conversions.seconds_from_duration(feedback.elapsed) == pytest.approx(1.25)
    assert feedback.estimated_remaining.sec == -1


def test_result_carries_motion_and_confidence_but_no_frames():
    plan = make_plan()
    result = conversions.make_result(ErrorCode.NONE, planning_time_sec=2.0)
    conversions.fill_result(result, plan, "file:///tmp/plan", return_frames=False)
    assert result.error_code == PlanInteraction.Result.NONE
    assert result.touches_target
    assert result.plan_uri == "file:///tmp/plan"
    assert result.motion.header.frame_id == plan.request.frame_id
    reasons = dict(zip(result.confidence_channels, result.confidence_reasons, strict=True))
    assert reasons["target"] == "half of it is hidden"
    assert reasons["scale"] == ""
    assert not result.frames


def test_result_says_when_and_where_the_hand_touches():
    plan = fill_plan(make_plan())
    result = conversions.make_result(ErrorCode.NONE)
    conversions.fill_result(result, plan, "", return_frames=False)
    assert (result.contact_hand, result.target_dof, result.actor_kind) == ("right_hand", 3, "arm")
    assert conversions.seconds_from_duration(result.contact_start) == pytest.approx(3 / 8)
    assert conversions.seconds_from_duration(result.contact_end) == pytest.approx(1.0)
    assert result.contact_point.header.frame_id == plan.request.frame_id
    assert result.contact_point.point.x == pytest.approx(0.03)
    assert len(result.hand_aperture) == len(result.motion.points)
    assert np.isnan(result.hand_aperture[5])
    assert list(result.segment_names) == ["approach", "transport"]
    assert conversions.seconds_from_duration(result.segment_ends[1]) == pytest.approx(1.0)


def test_result_without_contact_says_so():
    plan = make_plan(motion=make_motion(contact=Contact()))
    result = conversions.make_result(ErrorCode.NONE)
    conversions.fill_result(result, plan, "", return_frames=False)
    assert (result.touches_target, result.contact_hand) == (False, "")
    assert result.contact_point.header.frame_id == ""
    assert not result.hand_aperture


def test_frames_travel_when_asked_for():
    plan = make_plan()
    result = conversions.fill_result(
        conversions.make_result(ErrorCode.NONE), plan, "", return_frames=True
    )
    frames = np.stack([conversions.image_from_message(frame) for frame in result.frames])
    np.testing.assert_array_equal(frames, plan.rollout.frames)


def test_confidence_that_is_no_number_becomes_zero():
    plan = make_plan(motion=make_motion(confidence={"hands": float("nan")}))
    result = conversions.make_result(ErrorCode.NONE)
    conversions.fill_result(result, plan, "", return_frames=False)
    assert list(result.confidence_values) == [0.0]
