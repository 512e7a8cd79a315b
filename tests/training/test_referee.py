import numpy as np
import pytest

from training.referee import Tally, wilson_interval


def test_wilson_interval_of_known_numbers():
    # 8 of 10, by hand from the formula with z = 1.96.
    low, high = wilson_interval(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)


@pytest.mark.parametrize("total", [1, 7, 200])
def test_intervals_hold_the_rate_and_stay_in_range(total):
    for successes in range(total + 1):
        low, high = wilson_interval(successes, total)
        assert 0.0 <= low <= successes / total + 1e-12
        assert successes / total - 1e-12 <= high <= 1.0


def test_a_tally_counts_every_verdict():
    tally = Tally()
    for verdict in ["target_contact"] * 3 + ["wrong_target", "no_contact"]:
        tally.add(verdict)
    summary = tally.summary()
    assert summary["num_scenes"] == 5
    assert summary["target_contact"] == 0.6
    rates = [summary[key] for key in ("target_contact", "wrong_target", "no_contact")]
    assert np.isclose(sum(rates), 1.0)
    assert summary["target_contact_interval"][0] < 0.6 < summary["target_contact_interval"][1]
