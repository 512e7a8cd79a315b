"""What the prompt tells the planner without a model."""

from __future__ import annotations

import time

import pytest

from tavid_ros.fake_planner import FakePlanner
from tests.ros.messages import make_request


@pytest.mark.parametrize(("prompt", "least_sec"), [("steps of 0 ms", 0.0), ("steps of 50 ms", 0.2)])
def test_prompt_names_the_time_of_a_step(prompt, least_sec):
    planner = FakePlanner(step_sec=60.0)
    start = time.monotonic()
    planner.plan(make_request(prompt=prompt, num_inference_steps=1))
    assert least_sec <= time.monotonic() - start < 30.0


def test_candidates_are_counted_through_and_told():
    seen = []
    request = make_request(prompt="steps of 0 ms", num_inference_steps=2, num_candidates=3, seed=7)
    plan = FakePlanner().plan(request, seen.append)
    assert [p.step for p in seen if p.stage == "denoise"] == [0, 1, 2, 2, 3, 4, 4, 5, 6]
    assert {p.total_steps for p in seen if p.stage == "denoise"} == {6}
    assert [c["seed"] for c in plan.provenance["candidates"]] == [7, 8, 9]
    assert plan.provenance["seed"] == 7
