"""Tables say what the log says."""

import json
import math

import pytest

from tavid_core.errors import ConfigError, InputError
from training.quality import QUALITY_NAMES
from training.results import main, write_results
from training.results_table import collect, curve_area
from training.rows import ROWS, SAME_RUN, Row, find_row
from training.run_log import RunLine, RunLog

QUALITY = dict.fromkeys(QUALITY_NAMES, 0.5)


def add(log, row, step, rate, *, seed=0, num_scenes=100, scenes="three", iou=None, **more):
    line = RunLine(
        row=row, scenes=scenes, seed=seed, step=step, num_clips=1290, num_scenes=num_scenes
    )
    found = {"target_contact": rate, "wrong_target": 1 - rate, "no_contact": 0.0}
    log.append(line, {**found, "attention_iou": iou, **more})


@pytest.fixture
def log(tmp_path):
    log = RunLog(tmp_path / "runs.jsonl")
    add(log, "base", 0, 0.3)
    for seed, last in ((0, 0.8), (1, 0.9)):
        add(log, "tavid", 25, 0.4, seed=seed, num_scenes=20)
        add(log, "tavid", 100, last, seed=seed, iou=0.6)
    add(log, "lambda_0", 100, 0.5, scenes="five")
    return log


def test_seeds_are_pooled(log):
    rows = {(row.name, row.scenes): row for row in collect(log)}
    ours = rows["tavid", "three"]
    assert ours.target_contact == pytest.approx(0.85)
    assert ours.seeds == (0, 1)
    assert ours.seed_spread == pytest.approx(0.0707, abs=1e-3)
    # Wilson of 170 of 200 by hand.
    assert ours.interval == pytest.approx((0.794, 0.893), abs=1e-3)
    assert ours.attention_iou == pytest.approx(0.6)
    assert ours.curve == ((25, 0.4), (100, 0.85))
    assert math.isnan(rows["base", "three"].seed_spread)


def test_quality_is_a_table_of_the_rows_that_have_it(log, tmp_path):
    pytest.importorskip("matplotlib")
    for seed, psnr_db in ((0, 30.0), (1, 40.0)):
        quality = {**QUALITY, "background_psnr_db": psnr_db}
        add(log, "base_data", 100, 0.4, seed=seed, quality=quality)
    rows = {row.name: row for row in collect(log)}
    assert rows["base_data"].quality == {**QUALITY, "background_psnr_db": 35.0}
    assert rows["tavid"].quality == {}
    write_results(log, tmp_path)
    table = (tmp_path / "results.md").read_text().partition("### Quality")[2].splitlines()
    assert "background psnr db" in table[2]
    assert [line for line in table if line.startswith("| base + data")] == [
        "| base + data, no target input | 100 | 0.500 | 0.500 | 0.500 | 0.500 | 35.000 |"
    ]


def test_the_area_is_over_doublings_of_steps(log):
    rows = {row.name: row for row in collect(log)}
    assert curve_area(rows["tavid"]) == pytest.approx(0.625)
    assert curve_area(rows["base"]) is None


def test_page_and_json_are_written_and_text_around_them_stays(log, tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "results.md"
    page.write_text("Before.\n<!-- results:begin -->old<!-- results:end -->\nAfter.\n")
    write_results(log, tmp_path)
    text = page.read_text()
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert "old" not in text
    assert "**0.850** [0.794, 0.893]" in text
    assert (tmp_path / "images" / "results_three.png").is_file()
    document = json.loads((tmp_path / "results.json").read_text())
    ours = document["rows"]["tavid"]
    assert ours["target_contact"] == pytest.approx(0.85)
    assert ours["interval"] == pytest.approx([0.794, 0.893], abs=1e-3)
    assert (ours["num_scenes"], ours["seeds"]) == (100, [0, 1])
    assert document["rows"]["lambda_0.1"] == ours
    assert document["scenes"]["five"]["lambda_0"]["wrong_target"] == 0.5


def test_an_empty_log_or_a_page_without_marks_is_refused(log, tmp_path, capsys):
    assert main(["--log", str(tmp_path / "none.jsonl"), "--out", str(tmp_path)]) == 2
    assert "must hold measurements" in capsys.readouterr().err
    (tmp_path / "results.md").write_text("no marks")
    with pytest.raises(InputError, match=r"results.md must hold <!-- results:begin"):
        write_results(log, tmp_path)


def test_rows_have_unique_runs_and_known_names():
    assert set(SAME_RUN.values()) <= set(ROWS)
    assert not set(SAME_RUN) & set(ROWS)
    assert find_row("lambda_0.1") is ROWS["tavid"]
    runs = [(row.kind, row.settings, row.num_clips) for row in ROWS.values()]
    assert len(set(runs)) == len(runs)
    with pytest.raises(ConfigError, match="row must be one of"):
        find_row("nonsense")
    with pytest.raises(ConfigError, match="with settings for an adapter only"):
        Row(name="x", title="x", group="main", kind="base", settings=("a=b",))
