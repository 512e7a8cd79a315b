"""The best of several rollouts, imagined by a tiny model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tavid_core.candidates import score_motion
from tavid_core.errors import CanceledError, InputError
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.model_card import ModelCard
from tavid_core.motion import Contact, InteractionMotion, PointTrack
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from tests import tiny

NUM_STEPS = 2
CARD = ModelCard(
    num_frames=tiny.NUM_FRAMES,
    num_inference_steps=NUM_STEPS,
    guidance_scale=1.0,
    use_dynamic_guidance=False,
)


def make_motion(
    *, touches: bool = False, has_actor: bool = True, confidence: float = 0.5
) -> InteractionMotion:
    track = PointTrack(
        name="target",
        pixels=np.zeros((tiny.NUM_FRAMES, 2), np.float32),
        positions_camera_m=np.ones((tiny.NUM_FRAMES, 3), np.float32),
        confidence=np.ones(tiny.NUM_FRAMES, np.float32),
    )
    return InteractionMotion(
        hands=(dataclasses.replace(track, name="left_hand"),) if has_actor else (),
        body=(),
        target=track,
        target_quaternions_xyzw=np.tile(np.float32([0, 0, 0, 1]), (tiny.NUM_FRAMES, 1)),
        target_dof=3,
        contact=Contact(touches_target=touches),
        scale_source="none",
        confidence={"actor": confidence, "hands": confidence, "target": 1.0, "contact": confidence},
        reasons={},
    )


def detect(frames: np.ndarray) -> Keypoints:
    pixels = np.zeros((len(frames), 1, 2), np.float32)
    return Keypoints(("left_hand",), pixels, np.ones((len(frames), 1), np.float32))


def lift(rollout, request, keypoints, *, fit) -> InteractionMotion:
    """Touch the target with seed 5 only, and be surer of other seeds."""
    return make_motion(touches=request.seed == 5, confidence=0.3 if request.seed == 5 else 1.0)


@pytest.fixture(scope="module")
def planner():
    return InteractionPlanner(tiny.make_pipeline(), None, CARD, detector=detect, lifter=lift)


def make_request(**changes) -> PlanRequest:
    fields = {
        "image": tiny.make_image(0),
        "target_mask": tiny.make_mask(),
        "prompt": "picks up the mug",
        "seed": 4,
        "num_candidates": 3,
    }
    return PlanRequest(**{**fields, **changes})


def test_best_of_all_seeds_is_the_plan_and_provenance_names_each(planner):
    seen = []
    request = make_request()
    plan = planner.plan(request, seen.append)
    assert plan.request is request
    assert plan.motion.contact.touches_target
    assert plan.provenance["seed"] == 5
    assert plan.provenance["candidates"] == [
        {"seed": 4, "score": 0.4, "touches_target": False},
        {"seed": 5, "score": 0.895, "touches_target": True},
        {"seed": 6, "score": 0.4, "touches_target": False},
    ]
    alone = planner.plan(make_request(seed=5, num_candidates=1))
    np.testing.assert_array_equal(plan.rollout.frames, alone.rollout.frames)
    assert [event.step for event in seen if event.stage == "denoise"] == [0, 1, 2, 2, 3, 4, 4, 5, 6]
    assert {event.total_steps for event in seen if event.stage == "denoise"} == {3 * NUM_STEPS}
    remaining = [event.remaining_sec for event in seen if event.remaining_sec is not None]
    assert remaining[-1] == pytest.approx(0.0, abs=0.2)


def test_first_of_equals_is_kept(planner):
    assert planner.plan(make_request(seed=7)).provenance["seed"] == 7


def test_scores_that_a_plan_cannot_tell_apart_are_equal():
    def lift_ever_surer(rollout, request, keypoints, *, fit):
        return make_motion(confidence=0.5 + 1e-5 * request.seed)

    surer = InteractionPlanner(
        tiny.make_pipeline(), None, CARD, detector=detect, lifter=lift_ever_surer
    )
    told = surer.plan(make_request(seed=4)).provenance
    assert len({candidate["score"] for candidate in told["candidates"]}) == 1
    assert told["seed"] == 4


def test_stop_between_candidates_is_obeyed(planner):
    seen = []
    with pytest.raises(CanceledError, match="stage 'condition' after step 0 of 1"):
        planner.plan(
            make_request(), seen.append, lambda: seen[-1].stage == "condition" and len(seen) > 2
        )
    assert [event.stage for event in seen].count("lift") == 2
    assert (seen[-1].stage, seen[-1].step, seen[-1].total_steps) == ("condition", 1, 3)


def test_contact_counts_more_than_an_actor_and_that_more_than_certainty():
    scores = [
        score_motion(make_motion(has_actor=False, confidence=0.0)),
        score_motion(make_motion(confidence=0.0)),
        score_motion(make_motion(confidence=1.0)),
        score_motion(make_motion(touches=True, confidence=float("nan"))),
        score_motion(make_motion(touches=True, confidence=1.0)),
    ]
    assert scores == sorted(set(scores))
    assert (scores[0], scores[-1]) == (pytest.approx(0.05), pytest.approx(1.0))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_candidates": 0}, r"num_candidates must be in 1\.\.16, got 0"),
        ({"num_candidates": 17}, r"num_candidates must be in 1\.\.16, got 17"),
        ({"seed": 2**63 - 2}, r"seed must be in"),
    ],
)
def test_impossible_numbers_are_refused(changes, match):
    with pytest.raises(InputError, match=match):
        make_request(**changes)
