"""Progress with a clock in hand."""

from __future__ import annotations

import pytest

from tavid_core.errors import CanceledError
from tavid_core.progress import ProgressReporter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(closing_sec: float | None) -> list[tuple]:
    """Two steps of 3 s after 1 s of conditioning, then 4 s of decoding."""
    clock, seen = Clock(), []
    reporter = ProgressReporter(seen.append, closing_sec=closing_sec, clock=clock)
    for stage, step, total, seconds in [
        ("condition", 0, 1, 1.0),
        ("denoise", 0, 2, 3.0),
        ("denoise", 1, 2, 3.0),
        ("denoise", 2, 2, 0.0),
        ("decode", 0, 1, 4.0),
        ("decode", 1, 1, 0.0),
    ]:
        reporter.report(stage, step, total)
        clock.now += seconds
    assert reporter.elapsed_sec == 11.0
    assert reporter.closing_sec == 4.0
    return [(p.stage, p.step, p.elapsed_sec, p.remaining_sec) for p in seen]


def test_first_plan_assumes_one_step_for_the_rest():
    assert run(None) == [
        ("condition", 0, 0.0, None),
        ("denoise", 0, 1.0, None),
        ("denoise", 1, 4.0, 6.0),
        ("denoise", 2, 7.0, 3.0),
        ("decode", 0, 7.0, None),
        ("decode", 1, 11.0, None),
    ]


def test_later_plans_know_the_rest():
    remaining = [row[3] for row in run(5.0)]
    assert remaining == [None, None, 8.0, 5.0, 5.0, 1.0]


def test_candidates_are_counted_through_and_reckoned_with():
    clock, seen = Clock(), []
    reporter = ProgressReporter(seen.append, num_candidates=3, clock=clock)
    for _ in range(3):
        for step in range(3):
            reporter.report("denoise", step, 2)
            clock.now += 2.0
        reporter.end_candidate()
    assert [p.step for p in seen] == [0, 1, 2, 2, 3, 4, 4, 5, 6]
    assert {p.total_steps for p in seen} == {6}
    # Two seconds a step; one more is assumed for the rest of each candidate.
    assert [p.remaining_sec for p in seen] == [None, 16, 14, 12, 10, 8, 6, 4, 2]


def test_stop_is_asked_after_the_report():
    seen = []
    reporter = ProgressReporter(seen.append, lambda: True)
    with pytest.raises(CanceledError, match="stage 'denoise' after step 1 of 4"):
        reporter.report("denoise", 1, 4)
    assert len(seen) == 1


def test_silent_reporter_reports_to_nobody():
    reporter = ProgressReporter()
    reporter.report("lift", 0, 1)
    assert reporter.closing_sec is None
