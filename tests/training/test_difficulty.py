"""Scenes are chosen where rows can differ, by validation scenes alone."""

import pytest

from training.difficulty import main
from training.run_log import RunLine, RunLog


@pytest.fixture
def log(tmp_path):
    log = RunLog(tmp_path / "runs.jsonl")
    for scenes, rate in (("three", 0.98), ("four", 0.9), ("five", 0.7), ("six", 0.2)):
        line = RunLine(
            row="lambda_0", scenes=scenes, seed=0, step=400, num_clips=1290, num_scenes=60
        )
        log.append(line, {"target_contact": rate, "wrong_target": 0.0, "no_contact": 1 - rate})
    return log


def test_neither_chance_nor_a_ceiling_is_chosen(log, capsys):
    words = ["--log", str(log.path), "--scenes", "3=three", "4=four", "6=six"]
    # Middles of chance and 1: 0.67, 0.63 and 0.58.
    assert main(words) == 0
    assert capsys.readouterr().out == "4\n"
    assert main([*words, "5=five"]) == 0
    assert capsys.readouterr().out == "5\n"


def test_what_was_not_measured_is_refused(log, capsys):
    assert main(["--log", str(log.path), "--scenes", "3=three", "7=seven"]) == 2
    assert "got none on ['seven']" in capsys.readouterr().err
    assert main(["--log", str(log.path), "--row", "tavid", "--scenes", "3=three"]) == 2
    assert "log must hold tavid on all scenes" in capsys.readouterr().err
    for text in ("three", "1=three", "3=", "x=three"):
        with pytest.raises(SystemExit):
            main(["--log", str(log.path), "--scenes", text])
        assert "scenes must be NUMBER=NAME" in capsys.readouterr().err
