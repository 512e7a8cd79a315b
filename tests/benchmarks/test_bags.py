"""The figures of bags, at a size that takes seconds, and the simulated bag made into clips."""

import itertools
import json

import pytest

from benchmarks.bag_damage import _Found, measure_cuts, measure_flips
from benchmarks.bag_maker import BagScene, make_messages, write_mcap
from benchmarks.bags import LIMITS, measure_bombs, measure_damage
from benchmarks.sim_bag import write_sim_bag
from training.sources.bags.command import main


def test_damage_is_told(tmp_path):
    figures = measure_damage(tmp_path, num_cuts=3, num_flips=6)
    assert {name for name in LIMITS if "cut" in name or "flip" in name} <= figures.keys()
    assert figures["silently_fewer"] == 0
    assert figures["cuts_reported_share"] == 1.0
    assert figures["cut_recovered_share"] > 0.9


def test_a_reader_that_says_nothing_is_found_out(tmp_path, monkeypatch):
    path = tmp_path / "small.mcap"
    write_mcap(path, make_messages(BagScene(num_images=20)))
    # The first reading, of the sound bag, is not the same as the others.
    found = itertools.count()
    monkeypatch.setattr(
        "benchmarks.bag_damage._read", lambda _: _Found(1, checksum=next(found), is_told=False)
    )
    flips = measure_flips(path, 2)
    assert (flips.num_reported, flips.num_harmless, flips.reported_share) == (0, 0, 0.0)
    cuts = measure_cuts(path, 2)
    assert (cuts.num_reported, cuts.num_silently_fewer) == (0, 2)
    assert max(cuts.recovered_shares) < 0.9


@pytest.mark.slow
def test_bombs_stay_below_the_limit_of_memory(tmp_path):
    """Also those whose messages are just below the caps, which are not refused."""
    figures = measure_bombs(tmp_path, ("unindexed", "prompt", "png", "images"))
    peaks_mb = {name: value for name, value in figures.items() if "_peak_rss_mb_" in name}
    assert len(peaks_mb) == 4
    assert max(peaks_mb.values()) <= 512, peaks_mb
    assert figures["bomb_peak_rss_mb"] == max(peaks_mb.values())
    assert figures["bomb_bytes"] < 1024 * 1024


@pytest.fixture(scope="module")
def sim_bag(tmp_path_factory):
    pytest.importorskip("mujoco")
    path = tmp_path_factory.mktemp("sim") / "evening.mcap"
    assert write_sim_bag(path, 1) == 3 + 5 * 25
    return path


@pytest.mark.parametrize("masks", ["topic", "motion"])
def test_a_simulated_bag_becomes_a_clip(sim_bag, tmp_path, masks):
    topics = tmp_path / "topics.yaml"
    assert main([str(sim_bag), "--inspect", "--topics", str(topics)]) == 0
    text = topics.read_text().replace("episodes: bag", "episodes: marker")
    options = []
    if masks == "motion":
        text = "\n".join(line for line in text.splitlines() if "_mask:" not in line)
        options = ["--masks-from-motion"]
    topics.write_text(text)
    out = tmp_path / "clips"
    command = [str(sim_bag), "--topics", str(topics), "--preset", "mini", "--out", str(out)]
    assert main([*command, "--workers", "1", *options]) == 0
    (line,) = (out / "metadata.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["text"] == "A person lifts the cyan mug."
    assert record["contact_frame"] > 0
