"""What tools/results.sh would run: commands that exist, in an order that says most first."""

import os
import subprocess

import pytest

from tests.source_tree import ROOT
from training.ablate import make_parser
from training.rows import ROWS, find_row
from training.sources.sim.dataset import parse_arguments

# Writes down what it is asked and answers as `training.difficulty` does.
PYTHON = """#!/bin/sh
shift
printf '%s\\n' "$*" >> "$CALLS"
case "$1" in training.difficulty) echo 4 ;; esac
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """The words after `python -m` of every call."""
    folder = tmp_path_factory.mktemp("venv")
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "VENV": str(folder), "CALLS": str(folder / "calls")}
    environment["DEVICE"] = "cuda:1"
    script = ROOT / "tools" / "results.sh"
    subprocess.run(["sh", str(script)], env=environment, check=True, timeout=60)
    return [line.split() for line in (folder / "calls").read_text().splitlines()]


def read_ablations(calls):
    return [make_parser().parse_args(call[1:]) for call in calls if call[0] == "training.ablate"]


def test_every_command_can_be_read_and_finds_its_clips(calls):
    drawn = {}
    for call in calls:
        if call[0] == "training.sources.sim":
            options = parse_arguments(call[1:])
            drawn[options.out] = options
        elif call[0] == "training.ablate":
            options = make_parser().parse_args(call[1:])
            rows = list(ROWS.values()) if options.rows == ["all"] else map(find_row, options.rows)
            num_clips = max(row.num_clips for row in rows)
            assert drawn[options.clips].num_clips >= num_clips
            assert drawn[options.clips].split == "train"
            for name, folder in options.scenes:
                assert drawn[folder].num_clips >= options.num_scenes
                split = "validation" if "validation" in name else "held_out"
                assert drawn[folder].split == split
            if options.validation is not None:
                assert drawn[options.validation].split == "validation"


def test_all_is_measured_into_a_log_of_its_own_that_is_taken_last(calls):
    ablations = read_ablations(calls)
    assert {str(options.log) for options in ablations} == {"runs/results/runs.jsonl"}
    assert {options.device for options in ablations} == {"cuda:1"}
    assert calls[-1] == ["training.results", "--take", "runs/results/runs.jsonl"]


def test_the_harder_world_comes_second_at_a_difficulty_from_validation_scenes(calls):
    ablations = read_ablations(calls)
    is_harder = [options.sloppy_masks for options in ablations]
    assert is_harder == sorted(is_harder)
    assert [dict(options.scenes).keys() for options in ablations if options.sloppy_masks] == [
        {f"harder_validation_{number}" for number in (3, 4, 5, 6)},
        {"harder_4"},
        {"harder_4"},
    ]
    assert len({options.out for options in ablations}) == 3, "no adapter of other clips goes on"
    # The loss has the masks of the mask channel, or a row without it would know less.
    assert all("sloppy_loss_masks=true" in options.settings for options in ablations[-2:])
    words = [call[0] for call in calls]
    held_out = next(n for n, call in enumerate(calls) if "runs/results/data/harder_4" in call)
    assert words.index("training.difficulty") < held_out
    seeds = [options.seeds for options in ablations if options.rows != ["all"]]
    assert seeds == [[0, 1, 2], [0], [0], [0, 1, 2]]
