"""When a hand arrives: by its speed, not by its nearness."""

import numpy as np
import pytest

from tavid_core.lifting.onset import (
    arrival_frame,
    fill_gaps,
    hidden_frame,
    speed_of,
    timing_sureness,
)


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


# Comes, takes something in frames 3 and 4, slows down again in frame 8 and comes to the end.
CARRY = path(0, 8, 16, 20, 20, 26, 34, 42, 43, 43, 52, 60)


def arrival(onset, hidden_from):
    seen = np.ones(len(CARRY), bool)
    return arrival_frame(CARRY, seen, 1, onset, min_speed_px=0.5, hidden_from=hidden_from)


def test_of_what_moves_unseen_the_rest_before_it_was_hidden_counts():
    assert arrival(10, None) == 8
    assert arrival(10, 5) == 3
    # Hidden by the hand that comes: it arrives after that.
    assert arrival(10, 2) == 3


def test_a_hand_at_rest_in_the_first_frame_arrives_later():
    waits = path(0, 0, 0, 8, 16, 20, 20, 20, 26, 34)
    seen = np.ones(len(waits), bool)
    assert arrival_frame(waits, seen, 0, 8, min_speed_px=0.5, hidden_from=1) == 5
    assert arrival_frame(waits, seen, 0, 2, min_speed_px=0.5, hidden_from=1) == 0


def test_a_target_is_hidden_from_the_first_frame_without_sight_of_it():
    confidence = np.array([0.9, 0.3, 0.9, 0.8, 0.3, 0.1, 0.6, 0.6])
    assert hidden_frame(confidence, 6, 0.5) == 4
    assert hidden_frame(confidence, 4, 0.5) == 4
    assert hidden_frame(np.zeros(4), 3, 0.5) == 0


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


def test_of_the_rests_that_are_possible_the_most_usual_counts():
    way = path(0, 0, 0, 4, 10, 17, 24, 30, 34, *[34] * 20)
    seen = np.ones(len(way), bool)
    for hidden_from, is_sure in ((25, False), (12, True), (8, True)):
        sureness, _ = timing_sureness(way, seen, 8, 25, is_measured=False, hidden_from=hidden_from)
        assert (sureness > 0.7) == is_sure


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
