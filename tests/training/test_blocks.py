"""Which blocks look at a word: the range, and a run over tiny clips with real classes."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from tavid_core.errors import InputError
from tavid_core.mask import mask_to_grid
from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from training.blocks import best_range, main, measure_blocks
from training.clips import read_mask, read_records


@pytest.mark.parametrize(
    ("errors", "span"),
    [
        ([0.9, 0.1, 0.1, 0.9, 0.9], (1, 2)),
        ([0.1, 0.9, 0.9, 0.9, 0.2, 0.1], (4, 5)),
        # A single good block is no range.
        ([0.5, 0.5, 0.0, 0.6, 0.6, 0.1, 0.1, 0.1, 0.1, 0.6], (5, 8)),
        ([0.3], (0, 0)),
    ],
)
def test_best_range_is_the_least_mean_of_enough_blocks(errors, span):
    assert best_range(np.array(errors)) == span


@pytest.mark.parametrize(("num_blocks", "length"), [(42, 17), (6, 2)])
def test_the_shortest_range_is_a_little_below_the_papers_share(num_blocks, length):
    errors = np.full(num_blocks, 0.5)
    errors[-1] = 0.0
    assert best_range(errors) == (num_blocks - length, num_blocks - 1)


def test_command_measures_every_block_both_ways(tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips", num_clips=2)
    words = [str(tmp_path / "base"), str(tmp_path / "clips"), "--adapter", "none"]
    assert main([*words, "--word", "mug", "--json", "--plot", str(tmp_path / "b.png")]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(found["v2t"]) == len(found["t2v"]) == 3
    assert all(0 < error < 1 for error in found["v2t"] + found["t2v"])
    assert found["num_clips"] == 2
    masks = [read_mask(tmp_path / "clips", f"masks/{index}.png") for index in range(2)]
    grids = [mask_to_grid(mask, make_pipeline().token_grid()) for mask in masks]
    wanted = np.mean([np.sqrt(grid.mean()) for grid in grids])
    assert found["empty"] == pytest.approx(wanted, abs=1e-5)
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_clips_that_the_model_imagines_are_measured_in_place_of_the_recorded(tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips", num_clips=1)
    words = [str(tmp_path / "base"), str(tmp_path / "clips"), "--adapter", "none", "--json"]
    found = []
    for extra in ([], ["--generated"], ["--generated"]):
        assert main([*words, "--word", "mug", *extra]) == 0
        found.append(json.loads(capsys.readouterr().out.splitlines()[-1])["v2t"])
    recorded, imagined, again = found
    assert imagined == again
    assert imagined != recorded


@pytest.mark.parametrize("number", ["0", "-3"])
def test_no_clips_are_too_few(tmp_path, capsys, number):
    assert main(["mini", str(tmp_path), "--num-clips", number]) == 2
    assert f"num_clips must be at least 1, got {number}. Give" in capsys.readouterr().err


def test_word_that_no_caption_holds_is_refused(tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips", num_clips=1)
    words = [str(tmp_path / "base"), str(tmp_path / "clips"), "--adapter", "none"]
    assert main([*words, "--word", "teapot"]) == 2
    assert "teapot" in capsys.readouterr().err


def test_model_stored_in_half_precision_is_measured_too(tmp_path, capsys):
    """As the shipped one is; its layers used to meet latents of another type."""
    pipeline = make_pipeline().to(torch.float16)
    pipeline.save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips", num_clips=1)
    words = [str(tmp_path / "base"), str(tmp_path / "clips"), "--adapter", "none"]
    assert main([*words, "--word", "mug"]) == 0
    told = capsys.readouterr()
    assert "least error, v2t: blocks" in told.out
    assert "1/1" in told.err, "the bar"


def test_a_model_of_several_slots_is_shown_the_masks_of_all(tmp_path):
    """Those after the target's used to stay empty: it was measured on what it never saw."""
    write_clips(tmp_path, num_clips=2)
    record = read_records(tmp_path)[0]
    pipeline = make_pipeline(num_mask_slots=3)

    def measure(**changes):
        clips = [dataclasses.replace(record, **changes)]
        return measure_blocks(pipeline, None, tmp_path, clips, word="mug", timesteps=(500,)).errors

    whole = measure()
    assert np.array_equal(measure(), whole)
    assert not np.array_equal(measure(actor_mask_file=record.mask_file), whole)
    assert not np.array_equal(measure(extra_mask_files=("masks/1.png",)), whole)
    with pytest.raises(InputError, match="must have masks for 3 slots, got no actor_mask_file"):
        measure(actor_mask_file=None)
