"""Which image stands for which moment of the fixed rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sources.bags.resample import Pick, Resampler

MS = 1_000_000


def pick(stamps_ms, rule="nearest", max_age_sec=0.25, fps=8.0):
    """Stamps of the images that stand for the moments, as the recorder takes them; None = gap."""
    resampler, before, chosen = Resampler(fps, rule, max_age_sec), None, []
    for stamp_ms in stamps_ms:
        for found in resampler.push(stamp_ms * MS):
            chosen.append(before if found is Pick.IMAGE else None)
        before = stamp_ms
    return chosen + [before for _ in resampler.finish()]


def test_nearest_takes_the_image_around_each_moment():
    assert pick([0, 100, 200, 300, 400]) == [0, 100, 200, 400]


def test_hold_takes_the_image_before_each_moment():
    assert pick([0, 100, 200, 300, 400], "hold") == [0, 100, 200, 300]


def test_an_image_halfway_between_two_is_the_earlier_one():
    assert pick([0, 50, 200]) == [0, 50, 200]


def test_a_slow_camera_stands_for_several_moments():
    assert pick([0, 250, 500]) == [0, 0, 250, 250, 500]


@pytest.mark.parametrize("rule", ["nearest", "hold"])
def test_an_image_that_is_too_old_leaves_a_gap_and_the_next_one_begins_anew(rule):
    assert pick([0, 125, 2000, 2125], rule) == [0, 125, 125, 125, None, 2000, 2125]


def test_the_age_limit_is_as_stated():
    assert None not in pick([0, 500], "hold", max_age_sec=0.375)
    assert None in pick([0, 500], "hold", max_age_sec=0.374)


def test_the_last_image_stands_for_a_moment_just_behind_it():
    assert pick([0, 70]) == [0, 70]
    assert pick([0, 70], "hold") == [0]


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=60),
    st.sampled_from(["nearest", "hold"]),
    st.floats(0.05, 1.0),
)
def test_no_frame_is_older_than_allowed_or_out_of_order(steps_ms, rule, max_age_sec):
    stamps = [sum(steps_ms[: n + 1]) for n in range(len(steps_ms))]
    moment, start = 0, stamps[0]
    chosen = pick(stamps, rule, max_age_sec)
    for place, stamp in enumerate(chosen):
        if stamp is None:
            # A gap is never the last word: an image after it begins anew.
            assert place + 1 < len(chosen)
            moment, start = 0, chosen[place + 1]
            continue
        moment_ms = start + moment * 125
        assert abs(moment_ms - stamp) <= max_age_sec * 1000 + 1
        assert rule == "nearest" or stamp <= moment_ms
        if rule == "nearest":
            assert abs(moment_ms - stamp) <= min(abs(moment_ms - other) for other in stamps) + 1
        moment += 1
