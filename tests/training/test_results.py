"""Tables say what the log says."""

import json
import math
from pathlib import Path

import pytest

from tavid_core.errors import ConfigError, InputError
from training.quality import QUALITY_NAMES
from training.results import main, write_results
from training.results_clips import collect_clips_curves
from training.results_difference import compare
from training.results_table import at_common_step, collect, table_areas
from training.rows import CLIP_CURVES, ROWS, SAME_RUN, SAME_RUN_GROUPS, Row, find_row
from training.run_log import RunLine, RunLog

QUALITY = dict.fromkeys(QUALITY_NAMES, 0.5)


def add(log, row, step, rate, *, seed=0, num_scenes=100, scenes="three", num_clips=1290, **more):
    line = RunLine(
        row=row, scenes=scenes, seed=seed, step=step, num_clips=num_clips, num_scenes=num_scenes
    )
    found = {"target_contact": rate, "wrong_target": 1 - rate, "no_contact": 0.0}
    log.append(line, {**found, "attention_iou": None, **more})


@pytest.fixture
def log(tmp_path):
    log = RunLog(tmp_path / "runs.jsonl")
    add(log, "base", 0, 0.3)
    for seed, last in ((0, 0.8), (1, 0.9)):
        add(log, "tavid", 25, 0.4, seed=seed, num_scenes=20)
        add(log, "tavid", 100, last, seed=seed, attention_iou=0.6)
    add(log, "lambda_0", 100, 0.5, scenes="five")
    return log


def test_seeds_are_averaged_and_scenes_are_counted_once(log):
    rows = {(row.name, row.scenes): row for row in collect(log)}
    ours = rows["tavid", "three"]
    assert ours.target_contact == pytest.approx(0.85)
    assert ours.seeds == (0, 1)
    assert ours.seed_spread == pytest.approx(0.0707, abs=1e-3)
    # Wilson of 85 of 100 by hand: two seeds on the same scenes are not two hundred scenes.
    assert ours.interval == pytest.approx((0.767, 0.907), abs=1e-3)
    assert ours.wrong_target_interval == pytest.approx((0.093, 0.233), abs=1e-3)
    assert ours.no_contact_interval == pytest.approx((0.0, 0.037), abs=1e-3)
    assert ours.attention_iou == pytest.approx(0.6)
    assert ours.curve == ((25, 0.4), (100, 0.85))
    assert math.isnan(rows["base", "three"].seed_spread)


def test_rows_of_two_base_models_are_no_table(log, tmp_path):
    write_results(log, tmp_path)
    assert "SHA-256: `not logged`." in (tmp_path / "results.md").read_text()
    add(log, "base_data", 100, 0.4, base="889a28d2d5c4")
    with pytest.raises(InputError, match="log must hold rows of one base model for three, got"):
        write_results(log, tmp_path)


def test_quality_is_a_table_of_the_rows_that_have_it(log, tmp_path):
    pytest.importorskip("matplotlib")
    for seed, psnr_db in ((0, 30.0), (1, 40.0)):
        quality = {**QUALITY, "background_psnr_real_db": psnr_db}
        add(log, "base_data", 100, 0.4, seed=seed, quality=quality)
    rows = {row.name: row for row in collect(log)}
    assert rows["base_data"].quality == {**QUALITY, "background_psnr_real_db": 35.0}
    assert rows["tavid"].quality == {}
    write_results(log, tmp_path)
    table = (tmp_path / "results.md").read_text().partition("### Quality")[2].splitlines()
    assert "background psnr real db" in table[2]
    assert [line for line in table if line.startswith("| base + data")] == [
        "| base + data, no target input | 100 | 0.500 | 0.500 | 0.500 | 0.500 | 35.000 | 0.500 |"
    ]


def test_figures_that_some_seeds_lack_are_of_the_others(log):
    sizes = [{"target_share": [0.0, 0.005], "num_scenes": 10, "target_contact": 0.4}]
    old = {name: 0.5 for name in QUALITY_NAMES if name != "background_psnr_real_db"}
    add(log, "base_data", 100, 0.4, seed=0, quality=old)
    quality = {**QUALITY, "background_psnr_real_db": 31.0}
    add(log, "base_data", 100, 0.4, seed=1, quality=quality, by_target_size=sizes)
    row = next(row for row in collect(log) if row.name == "base_data")
    assert row.quality == quality
    assert row.by_target_size[0]["target_contact"] == 0.4


def test_the_mask_alone_stands_among_the_main_rows_where_it_is_trained_as_far(log, tmp_path):
    pytest.importorskip("matplotlib")

    def main_table():
        write_results(log, tmp_path)
        text = (tmp_path / "results.md").read_text()
        return text.partition("### Main rows")[2].partition("###")[0]

    add(log, "lambda_0", 100, 0.8)
    assert "lambda 0" not in main_table()
    add(log, "lambda_0", 25, 0.3)
    assert "| lambda 0 (mask channel only) | 100 | 1290 | **0.800**" in main_table()


def test_json_says_how_far_each_row_was_trained(log, tmp_path):
    pytest.importorskip("matplotlib")
    for step, rate in ((25, 0.3), (100, 0.8), (400, 0.9)):
        add(log, "lambda_0", step, rate)
    add(log, "lambda_1", 100, 0.5)
    write_results(log, tmp_path)
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["rows"]["lambda_0"]["step"] == 100
    last = told["rows_at_last_step"]
    assert (last["lambda_0"]["step"], last["lambda_0"]["target_contact"]) == (400, 0.9)
    assert last["mask_only"] == last["lambda_0"]


def test_committed_tables_are_those_of_the_committed_log(tmp_path):
    pytest.importorskip("matplotlib")
    docs = Path(__file__).resolve().parents[2] / "docs"
    page = (docs / "results.md").read_text(encoding="utf-8")
    (tmp_path / "results.md").write_text(page, encoding="utf-8")
    write_results(RunLog(docs / "results" / "runs.jsonl"), tmp_path)
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == page
    committed = (docs / "results.json").read_text(encoding="utf-8")
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == committed
    # No last bits, which are another processor's business: the two files are to be equal anywhere.
    areas = [row["curve_area"] for row in json.loads(committed)["rows"].values()]
    assert any(areas)
    assert all(area == round(area, 9) for area in areas if area is not None)


def test_sizes_of_targets_are_a_table_too(log, tmp_path):
    pytest.importorskip("matplotlib")
    for seed, small in ((0, 0.2), (1, 0.4)):
        sizes = [
            {"target_share": [0.0, 0.005], "num_scenes": 10, "target_contact": small},
            {"target_share": [0.01, 0.02], "num_scenes": 90, "target_contact": 0.9},
        ]
        add(log, "base_data", 100, 0.8, seed=seed, by_target_size=sizes)
    write_results(log, tmp_path)
    table = (tmp_path / "results.md").read_text().partition("### Target contact by size")[2]
    assert "| row | steps | 0.0% to 0.5% | 1.0% to 2.0% |" in table
    assert "| base + data, no target input | 100 | 0.300 of 10 | 0.900 of 90 |" in table
    told = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert told["base_data"]["by_target_size"][0]["target_contact"] == 0.3
    assert told["tavid"]["by_target_size"] == []


def areas(log, *names):
    return table_areas([row for row in collect(log) if row.scenes == "three" and row.name in names])


def test_the_area_is_over_doublings_of_steps(log):
    found = areas(log, "base", "tavid")
    assert found["tavid"].value == pytest.approx(0.625)
    assert found["tavid"].places == (25, 100)
    assert found["base"] is None


def test_steps_that_another_row_lacks_do_not_bend_an_area(log):
    for seed in (0, 1):
        add(log, "tavid", 50, 0.0, seed=seed)
        add(log, "base_data", 25, 0.4, seed=seed)
        add(log, "base_data", 100, 0.85, seed=seed)
    # The same curve as far as both are known.
    found = areas(log, "base_data", "tavid")
    assert found["tavid"].value == found["base_data"].value == pytest.approx(0.625)
    assert areas(log, "tavid")["tavid"].value == pytest.approx((0.2 + 0.425) / 2)


def test_areas_of_a_table_end_at_the_last_step_that_all_rows_have(log, tmp_path):
    pytest.importorskip("matplotlib")
    for seed in (0, 1):
        add(log, "tavid", 400, 1.0, seed=seed)
        add(log, "base_data", 25, 0.2, seed=seed)
        add(log, "base_data", 100, 0.4, seed=seed)
    # Trained four times as long, a row is not the better for it, nor the worse.
    found = areas(log, "base", "base_data", "tavid")
    assert found["tavid"].value == pytest.approx(0.625)
    assert found["base_data"].value == pytest.approx(0.3)
    assert found["base_data"].places == (25, 100)
    assert areas(log, "tavid")["tavid"].places == (25, 400)
    write_results(log, tmp_path)
    assert "area under the curve, 25 to 100 steps" in (tmp_path / "results.md").read_text()
    ours = json.loads((tmp_path / "results.json").read_text())["rows"]["tavid"]
    assert (ours["curve_area"], ours["curve_area_steps"]) == (pytest.approx(0.625), [25, 100])
    # Under its name of another table a run has that table's area.
    for step, rate in ((25, 0.4), (400, 1.0)):
        add(log, "lambda_0", step, rate)
    write_results(log, tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert found["lambda_0.1"]["curve_area_steps"] == [25, 400]
    assert found["tavid"]["curve_area_steps"] == [25, 100]
    # No common step, no area.
    add(log, "base_data", 50, 0.4, scenes="five")
    add(log, "base_data", 70, 0.4, scenes="five")
    add(log, "tavid", 25, 0.4, scenes="five")
    add(log, "tavid", 100, 0.4, scenes="five")
    five = table_areas([row for row in collect(log) if row.scenes == "five"])
    assert set(five.values()) == {None}


def test_a_table_compares_rows_after_equally_many_steps(log, tmp_path):
    """An ablation of 200 steps stood beside ours of 400."""
    pytest.importorskip("matplotlib")
    add(log, "t2v", 25, 0.3, num_scenes=20)
    add(log, "t2v", 100, 0.8)
    add(log, "tavid", 400, 1.0)
    rows = {row.name: row for row in collect(log) if row.scenes == "three"}
    assert (rows["tavid"].step, rows["tavid"].target_contact) == (400, 1.0)
    level = at_common_step(log, [rows["base"], rows["t2v"], rows["tavid"]])
    assert [(row.step, row.target_contact) for row in level] == [(0, 0.3), (100, 0.8), (100, 0.85)]
    assert level[2].curve == rows["tavid"].curve
    assert (level[2].seeds, level[2].interval) == ((0, 1), pytest.approx((0.767, 0.907), abs=1e-3))
    write_results(log, tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {name: found[name]["step"] for name in ("tavid", "v2t", "t2v")} == {
        "tavid": 400,
        "v2t": 100,
        "t2v": 100,
    }
    # Where rows share no step each says its own.
    add(log, "lambda_1", 70, 0.5)
    rows = {row.name: row for row in collect(log) if row.scenes == "three"}
    assert at_common_step(log, [rows["lambda_1"], rows["tavid"]])[1].step == 400


def test_the_area_is_over_the_scenes_that_all_places_have(tmp_path):
    log = RunLog(tmp_path / "runs.jsonl")
    add(log, "tavid", 25, 0.5, num_scenes=20, verdicts="tw" * 10)
    # The further scenes are harder: that is no fall of the curve.
    add(log, "tavid", 100, 0.1, verdicts="tw" * 10 + "w" * 80)
    first = areas(log, "tavid")["tavid"]
    assert first.value == pytest.approx(0.5)
    # By hand: the 20 scenes hold the same at both steps.
    wanted = 1.96 * math.sqrt(0.25 / 20)
    assert first.interval == pytest.approx((0.5 - wanted, 0.5 + wanted), abs=0.03)
    assert areas(log, "tavid")["tavid"] == first, "the same log gives the same interval"
    # A seed that lacks a step, or its verdicts, is left out.
    add(log, "tavid", 100, 1.0, seed=1, verdicts="t" * 100)
    add(log, "tavid", 25, 1.0, seed=2)
    add(log, "tavid", 100, 1.0, seed=2, verdicts="t" * 100)
    assert areas(log, "tavid")["tavid"] == first
    # Where one step's verdicts are unknown there is no interval.
    add(log, "tavid", 50, 0.5)
    assert areas(log, "tavid")["tavid"].interval is None


def test_rows_are_compared_scene_by_scene(log, tmp_path):
    pytest.importorskip("matplotlib")
    rows = {row.name: row for row in collect(log) if row.scenes == "three"}
    assert compare(rows["base"], rows["tavid"]) is None, "no verdicts"
    log = RunLog(tmp_path / "verdicts.jsonl")
    add(log, "tavid", 100, 0.9, verdicts="t" * 90 + "n" * 10)
    add(log, "tavid", 100, 0.7, seed=1, verdicts="t" * 70 + "n" * 30)
    # A place of a curve, on fewer scenes: not of what the table shows.
    add(log, "tavid", 100, 0.0, seed=2, num_scenes=20, verdicts="n" * 20)
    # All but the first ten scenes are as with ours; the last hundred are not ours at all.
    add(log, "t2v", 100, 0.35, verdicts="w" * 10 + "t" * 60 + "n" * 130, num_scenes=200)
    rows = {row.name: row for row in collect(log)}
    found = compare(rows["t2v"], rows["tavid"])
    # Half of twenty scenes is what one of two seeds has more, then ten.
    assert found.value == pytest.approx(-0.2)
    assert found.num_scenes == 100
    spread = 1.96 * math.sqrt((10 * 1 + 20 * 0.25) / 100 - 0.2**2) / 10
    assert found.interval == pytest.approx((-0.2 - spread, -0.2 + spread), abs=0.015)
    assert compare(rows["tavid"], rows["tavid"]) is None
    write_results(log, tmp_path)
    assert "| -0.200 [-0.2" in (tmp_path / "results.md").read_text()
    told = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert told["t2v"]["difference_to_ours"]["value"] == pytest.approx(-0.2)
    assert told["v2t"]["difference_to_ours"] is None


def test_verdicts_that_are_not_the_scenes_are_refused(tmp_path):
    for letters in ("tw", "x" * 100, 5):
        log = RunLog(tmp_path / f"{letters}.jsonl")
        add(log, "tavid", 25, 0.5, verdicts=letters)
        with pytest.raises(InputError, match="verdicts must be 100 letters of ntw"):
            collect(log)


def test_clips_are_a_curve_of_their_own(tmp_path):
    pytest.importorskip("matplotlib")
    log = RunLog(tmp_path / "runs.jsonl")
    rates = {"clips_40": 0.2, "clips_160": 0.4, "tavid": 0.8, "clips_40_lambda_0": 0.1}
    for name, rate in {**rates, "lambda_0": 0.3}.items():
        for step in (25, 100):
            half = rate if step == 100 else rate / 2
            letters = "t" * round(half * 100) + "w" * round(100 - half * 100)
            add(log, name, step, half, num_clips=ROWS[name].num_clips, verdicts=letters)
    add(log, "tavid", 400, 1.0)
    # A place of another seed's curve, on fewer scenes: the tables leave it out as well.
    add(log, "tavid", 100, 0.0, seed=1, num_scenes=20, verdicts="n" * 20)
    ours, plain = collect_clips_curves(log, collect(log), "three")
    assert ours.points == ((40, 0.2), (160, 0.4), (1290, 0.8))
    assert plain.points == ((40, 0.1), (1290, 0.3))
    assert ours.step == 100, "the last that all of them have"
    assert ours.area.places == (40, 1290)
    assert plain.area.value == pytest.approx(0.2)
    assert ours.area.value == pytest.approx(0.5), "the other has no 160 clips"
    add(log, "clips_160_lambda_0", 25, 0.1, num_clips=160)
    add(log, "clips_160_lambda_0", 100, 0.2, num_clips=160)
    ours, _ = collect_clips_curves(log, collect(log), "three")
    widths = math.log(4), math.log(1290 / 160)
    wanted = (0.3 * widths[0] + 0.6 * widths[1]) / sum(widths)
    assert ours.area.value == pytest.approx(wanted)
    assert plain.area.interval == pytest.approx((0.14, 0.27), abs=0.02)
    assert collect_clips_curves(log, collect(log), "five") == []
    write_results(log, tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "| row | steps | 40 | 160 | 1,290 | area under the curve, 40 to 1,290 clips |" in text
    assert "(images/results_three_clips.png)" in text
    assert (tmp_path / "images" / "results_three_clips.png").is_file()
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["clips_curves"]["three"]["tavid"]["curve_area"] == pytest.approx(wanted)
    assert document["clips_curves"]["three"]["lambda_0"]["step"] == 100


def test_rows_without_scenes_are_those_of_the_main_ones(log, tmp_path):
    pytest.importorskip("matplotlib")
    write_results(log, tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["rows_scenes"] == "three"
    add(log, "tavid", 100, 0.7, scenes="four_look_alikes")
    write_results(log, tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["rows_scenes"] == "four_look_alikes"
    assert document["rows"]["tavid"]["target_contact"] == 0.7


def test_page_and_json_are_written_and_text_around_them_stays(log, tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "results.md"
    page.write_text("Before.\n<!-- results:begin -->old<!-- results:end -->\nAfter.\n")
    write_results(log, tmp_path)
    text = page.read_text()
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert "old" not in text
    assert "**0.850** [0.767, 0.907]" in text
    lone = text.partition("## Scenes of a single row")[2]
    assert "| five | `not logged` | lambda 0 (mask channel only) | 100 | 0.500 [0.404" in lone
    assert "## Scenes: five" not in text
    assert (tmp_path / "images" / "results_three.png").is_file()
    document = json.loads((tmp_path / "results.json").read_text())
    ours = document["rows"]["tavid"]
    assert ours["target_contact"] == pytest.approx(0.85)
    assert ours["interval"] == pytest.approx([0.767, 0.907], abs=1e-3)
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
    assert set(SAME_RUN_GROUPS) == set(SAME_RUN)
    curves = [name for members in CLIP_CURVES.values() for name in members]
    assert {row.name for row in ROWS.values() if row.group == "clips"} < set(curves) <= set(ROWS)
    assert set(CLIP_CURVES) < set(curves)
    assert find_row("lambda_0.1") is ROWS["tavid"]
    runs = [(row.kind, row.settings, row.num_clips) for row in ROWS.values()]
    assert len(set(runs)) == len(runs)
    with pytest.raises(ConfigError, match="row must be one of"):
        find_row("nonsense")
    with pytest.raises(ConfigError, match="with settings for an adapter only"):
        Row(name="x", title="x", group="main", kind="base", settings=("a=b",))


def test_a_log_takes_the_place_of_a_smaller_one_only(log, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    new = RunLog(tmp_path / "new.jsonl")
    add(new, "base", 0, 0.1)
    words = ["--log", str(log.path), "--out", str(tmp_path), "--take", str(new.path)]
    before = log.path.read_bytes()
    assert main(words) == 2
    assert "must hold at least the 6 measurements" in capsys.readouterr().err
    assert log.path.read_bytes() == before
    assert main([*words, "--take-smaller"]) == 0
    assert log.path.read_bytes() == new.path.read_bytes()
    assert main(words) == 0, "as many are enough"
    assert json.loads((tmp_path / "results.json").read_text())["rows"].keys() == {"base"}
    missing = ["--take", str(tmp_path / "none.jsonl"), "--take-smaller"]
    assert main([*words[:4], *missing]) == 2
    assert log.path.read_bytes() == new.path.read_bytes()
