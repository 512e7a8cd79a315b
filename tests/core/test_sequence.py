"""Steps one after the other: what the next one begins with, and the motion of all of them."""

import dataclasses

import numpy as np
import pytest

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from tavid_core.lifting.lift import lift
from tavid_core.motion_chain import chain_motions
from tavid_core.sequence import SequenceBrokenError, SequenceStep, plan_sequence
from tavid_core.types import InteractionPlan, PlanProgress, Rollout
from tests.drawn import draw_plan, draw_reach, fill_plan


class DrawnPlanner:
    """Answers each request with the next drawn clip, and remembers what it was asked."""

    def __init__(self, *clips):
        self.clips = list(clips)
        self.requests = []

    def plan(self, request, on_progress=None, should_stop=None):
        clip = self.clips[len(self.requests)]
        self.requests.append(request)
        if on_progress:
            on_progress(PlanProgress(stage="lift", step=1, total_steps=1, elapsed_sec=0.0))
        rollout = Rollout(frames=clip.frames, fps=8.0)
        fit = FrameFit(request.image.shape[:2], clip.frames.shape[1:3])
        return InteractionPlan(
            request=request,
            rollout=rollout,
            motion=lift(rollout, request, clip.keypoints(), fit=fit),
            provenance={},
            planning_time_sec=0.1,
        )


FIRST = draw_reach(1, lift=(12.0, -18.0))
SECOND = draw_reach(2)


def first_request():
    return dataclasses.replace(draw_plan().request, prompt="A person lifts the middle disc.")


def test_second_step_begins_where_the_first_ended():
    planner = DrawnPlanner(FIRST, SECOND)
    step = SequenceStep(prompt="Then the right one.", target_mask=FIRST.masks[2], seed=3)
    plan_sequence(planner, first_request(), [step])
    second = planner.requests[1]
    assert (second.prompt, second.seed) == (step.prompt, 3)
    changed = np.abs(second.image.astype(int) - FIRST.frames[-1]).max(axis=-1)
    assert np.mean(changed > 25) < 0.01
    # What did not move keeps the camera's pixels and depth; what moved has no depth any more.
    np.testing.assert_array_equal(second.image[:10, 80:], first_request().image[:10, 80:])
    np.testing.assert_array_equal(second.target_mask, FIRST.masks[2])
    assert np.isnan(second.depth_m[FIRST.masks[1]]).mean() > 0.9
    assert np.isfinite(second.depth_m[second.target_mask]).all()


def test_moved_target_is_found_where_it_went():
    planner = DrawnPlanner(FIRST, SECOND)
    step = SequenceStep(prompt="Then again.", target_mask=FIRST.masks[1])
    plan_sequence(planner, first_request(), [step])
    rows, columns = np.nonzero(planner.requests[1].target_mask)
    went_to = FIRST.object_pixels[-1, 1]
    assert np.hypot(columns.mean() - went_to[0], rows.mean() - went_to[1]) < 2.5


def test_one_motion_holds_all_steps_and_the_shared_frame_once():
    planner = DrawnPlanner(FIRST, SECOND)
    told = []
    step = SequenceStep(prompt="Then the right one.", target_mask=FIRST.masks[2])
    sequence = plan_sequence(
        planner, first_request(), [step], on_progress=lambda i, progress: told.append(i)
    )
    one, two = (plan.motion for plan in sequence.plans)
    assert sequence.first_frames == (0, 16)
    assert sequence.motion.num_frames == 33
    assert told == [0, 1]
    whole = sequence.motion.target.positions_camera_m
    np.testing.assert_array_equal(whole[:17], one.target.positions_camera_m)
    np.testing.assert_array_equal(whole[17:], two.target.positions_camera_m[1:])
    starts = [contact.start_frame for contact in sequence.motion.contacts]
    assert starts == [one.contact.start_frame, 16 + two.contact.start_frame]


def test_lost_target_ends_the_sequence_and_keeps_what_is_done():
    gone = draw_reach(1, lift=(0.0, -90.0))
    planner = DrawnPlanner(gone, SECOND)
    step = SequenceStep(prompt="Then again.", target_mask=gone.masks[1])
    with pytest.raises(
        SequenceBrokenError, match="step 2 must be in sight when step 1 ends"
    ) as raised:
        plan_sequence(planner, first_request(), [step])
    assert len(raised.value.plans) == 1


def test_bad_mask_of_a_later_step_is_refused_before_the_first():
    planner = DrawnPlanner(FIRST, SECOND)
    step = SequenceStep(prompt="Then.", target_mask=np.zeros((64, 96), bool))
    with pytest.raises(InputError, match="target_mask must mark at least one pixel"):
        plan_sequence(planner, first_request(), [step])
    assert planner.requests == []


def test_larger_picture_keeps_its_size():
    big = draw_reach(1, scale=4, lift=(12.0, -18.0))
    request = dataclasses.replace(
        first_request(),
        image=big.frames[0],
        target_mask=big.masks[1],
        depth_m=None,
        intrinsics=None,
    )
    planner = DrawnPlanner(FIRST, SECOND)
    step = SequenceStep(prompt="Then again.", target_mask=big.masks[1])
    plan_sequence(planner, request, [step])
    second = planner.requests[1]
    assert second.image.shape == (256, 384, 3)
    rows, columns = np.nonzero(second.target_mask)
    went_to = big.object_pixels[-1, 1]
    assert np.hypot(columns.mean() - went_to[0], rows.mean() - went_to[1]) < 10


def test_chain_fills_what_a_part_does_not_know():
    full = fill_plan(draw_plan()).motion
    bare = draw_plan(hand_confidence=0.0).motion
    whole, first_frames = chain_motions([full, bare])
    assert first_frames == (0, 16)
    (hand,) = whole.hands
    assert np.isnan(hand.positions_camera_m[17:]).all()
    assert (hand.confidence[17:] == 0).all()
    assert np.isnan(hand.quaternions_xyzw[17:]).all()
    assert np.isnan(whole.apertures_m[hand.name][17:]).all()
    assert whole.body_fit is None
    assert whole.confidence["actor"] == 0
    assert whole.reasons["actor"].startswith("step 2: ")


def test_chain_joins_bodies_of_one_model():
    full = fill_plan(draw_plan()).motion
    whole, _ = chain_motions([full, full])
    assert whole.body_fit.joint_rotations.shape == (33, 55, 3)
    other = dataclasses.replace(full, body_fit=dataclasses.replace(full.body_fit, model="SMPLX"))
    assert chain_motions([full, other])[0].body_fit is None


def test_chain_of_nothing_is_refused():
    with pytest.raises(InputError, match="motions must hold at least one"):
        chain_motions([])
