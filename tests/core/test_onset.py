"""When a hand arrives: by its speed, not by its nearness."""

import numpy as np
import pytest

from tavid_core.lifting.onset import arrival_frame, fill_gaps, speed_of, timing_sureness


def path(*columns):
    return np.stack([np.array(columns, float), np.zeros(len(columns))], axis=1)


# Comes, rests in frames 4 to 6, and goes on.
GRASP = path(0, 4, 10, 15, 17, 17, 17, 20, 26)
SEEN = np.ones(len(GRASP), bool)


def test_a_hand_arrives_when_it_rests():
    assert arrival_frame(GRASP, SEEN, 2, 7, min_speed_px=0.5) == 4


def test_the_last_rest_before_the_motion_counts():
    waits = path(0, 6, 6, 6, 12, 17, 17, 17, 22, 30)
    assert arrival_frame(waits, np.ones(10, bool), 1, 8, min_speed_px=0.5) == 6


def test_a_hand_that_never_rests_or_is_not_seen_has_no_arrival():
    assert arrival_frame(path(*range(0, 90, 10)), SEEN, 2, 7, min_speed_px=0.5) is None
    assert arrival_frame(GRASP, ~SEEN, 2, 7, min_speed_px=0.5) is None


def test_gaps_are_crossed_in_a_straight_line():
    holes = GRASP.copy()
    holes[1] = np.nan
    filled = fill_gaps(holes, np.isfinite(holes).all(axis=1))
    assert filled[1].tolist() == [5, 0]
    assert np.isfinite(filled).all()


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_paths_have_a_speed(length):
    assert (
        speed_of(path(*range(0, 3 * length, 3))).tolist() == [3.0 if length > 1 else 0.0] * length
    )


def timing(start, onset, is_measured=False):
    """Ask about a hand that is on its way in frames 2 to 7 and rests from frame 8 on."""
    way = path(0, 0, 0, 4, 10, 17, 24, 30, 34, *[34] * 20)
    return timing_sureness(way, np.ones(len(way), bool), start, onset, is_measured=is_measured)


def test_a_usual_rest_leaves_the_timing_sure():
    assert timing(8, 13) == (1.0, "")
    assert timing(8, 10, is_measured=True) == (1.0, "")


@pytest.mark.parametrize(("start", "onset"), [(8, 8), (8, 25)], ids=["no rest", "a long rest"])
def test_an_odd_rest_makes_the_timing_unsure_and_says_so(start, onset):
    sureness, reason = timing(start, onset)
    assert sureness < 0.6
    assert f"rests on the target for {onset - start} before that moves" in reason


def test_a_hand_that_never_came_has_an_unsure_timing():
    still = path(*[5.0] * 12)
    sureness, reason = timing_sureness(still, np.ones(12, bool), 3, 9, is_measured=False)
    assert sureness < 0.6
    assert "comes within 0 frames" in reason
