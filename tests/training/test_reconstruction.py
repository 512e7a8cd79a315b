"""What passes through a VAE: the parts of a clip, the figure, and the command."""

import json
import math

import numpy as np
import pytest
import torch

from tavid_core.errors import ConfigError
from tests.tiny import make_pipeline, make_vae
from tests.training_clips import write_clips
from training.clips import read_frames, read_records
from training.mini import frames_to_tensor
from training.reconstruction import find_parts, main, measure_reconstruction

SQUARE = (slice(4, 8), slice(4, 8))
OTHER = (slice(20, 24), slice(4, 8))


def make_scene():
    """A red square that jumps away in the last frame, and a green one that stays."""
    frames = np.full((5, 32, 48, 3), 90, np.uint8)
    frames[(slice(None), *OTHER)] = (0, 200, 0)
    frames[(slice(4), *SQUARE)] = (200, 0, 0)
    frames[4, 10:14, 30:34] = (200, 0, 0)
    masks = np.zeros((2, 32, 48), bool)
    masks[0][SQUARE], masks[1][OTHER] = True, True
    centres = np.zeros((5, 2, 2), np.float32)
    centres[:, 0], centres[:, 1] = (5.5, 5.5), (5.5, 21.5)
    centres[4, 0] = (31.5, 11.5)
    return frames, {
        "instance_masks": masks,
        "target_index": np.array(0),
        "object_pixels": centres,
    }


def test_the_parts_are_where_they_are():
    frames, truth = make_scene()
    parts = find_parts(frames, truth)
    # The disc is as large as the square, and its rim cuts the corners.
    assert not parts["lifted"][:4].any()
    assert 10 <= parts["lifted"][4].sum() <= 16
    assert parts["lifted"][4, 11:13, 31:33].all()
    assert parts["moving"][0].sum() == 2 * 16
    assert parts["objects"][0].sum() == 16
    assert parts["objects"][0][OTHER].all()
    everything = parts["moving"] ^ parts["objects"] ^ parts["still"]
    assert everything.all(), "each pixel is of one of the three"


def test_without_objects_in_the_truth_there_are_two_parts():
    frames, _ = make_scene()
    parts = find_parts(frames, {})
    assert set(parts) == {"moving", "still"}
    assert (parts["moving"] ^ parts["still"]).all()


@torch.no_grad()
def test_the_figure_is_the_psnr_of_what_was_decoded(tmp_path):
    write_clips(tmp_path, num_clips=2)
    vae, records = make_vae(), read_records(tmp_path)
    found = measure_reconstruction(vae, tmp_path, records)
    # Noise moves everywhere, and its truth does not tell objects.
    assert set(found) <= {"still", "moving", "first"}
    squares = []
    for record in records:
        first = frames_to_tensor(torch.from_numpy(read_frames(tmp_path, record)[None, :1]))
        output = vae.decode(vae.encode(first).latent_dist.mean).sample.clamp(-1, 1)
        squares.append(((output - first) * 127.5).square().mean().item())
    assert found["first"] == pytest.approx(10 * math.log10(255**2 / np.mean(squares)), abs=1e-3)


def test_command_prints_every_part_once(tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips", num_clips=2)
    words = [str(tmp_path / "base" / "vae"), str(tmp_path / "clips"), "--num-clips", "1"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [line.split()[0] + "_psnr_db" for line in lines] == list(found)
    assert all(3 < value < 60 for value in found.values())


@pytest.mark.parametrize("number", ["0", "-1"])
def test_no_clips_are_too_few(tmp_path, capsys, number):
    assert main([str(tmp_path), str(tmp_path), "--num-clips", number]) == 2
    assert f"num_clips must be at least 1, got {number}. Give" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="num_clips must be at least 1, got 0"):
        measure_reconstruction(make_vae(), tmp_path, [])


def test_a_folder_that_is_no_vae_is_refused(tmp_path, capsys):
    write_clips(tmp_path / "clips", num_clips=1)
    assert main([str(tmp_path), str(tmp_path / "clips")]) == 2
    assert "which has no config.json. Name the vae folder" in capsys.readouterr().err
