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
