"""The size of the target, by hand."""

import dataclasses

import numpy as np
import pytest

from tavid_core.target_box import estimate_target_size
from tests.ros.messages import make_plan, make_request, make_track


def test_size_is_pixels_times_distance_over_focal_length():
    # The mask is 10 by 10 pixels, the target 1 m away, the focal lengths 60 and 61 pixels.
    size_m = estimate_target_size(make_plan())
    np.testing.assert_allclose(size_m, [10 / 60, 10 / 61, 10 / 61])


def test_without_intrinsics_the_assumed_field_of_view_counts():
    plan = make_plan(request=make_request(intrinsics=None))
    # 64 pixels at 60 degrees: f = 32 / tan(30 deg).
    assert estimate_target_size(plan)[0] == pytest.approx(10 / (32 * 3**0.5))


def test_a_target_that_is_never_seen_has_no_size():
    plan = make_plan()
    motion = dataclasses.replace(plan.motion, target=make_track("target", lost=range(9)))
    assert estimate_target_size(dataclasses.replace(plan, motion=motion)) is None
