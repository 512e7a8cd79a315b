"""Where the VAE's windows are cut."""

from __future__ import annotations

import numpy as np
import torch

from training import pretrain_vae
from training.pretrain_vae import MOVING_SHARE, WINDOW_FRAMES, WINDOW_PX, draw_windows


def draw_many(clips, count: int = 200):
    """Draw windows with one seed each."""
    return [draw_windows(clips, torch.Generator().manual_seed(seed)) for seed in range(count)]


def make_clips() -> np.ndarray:
    """Make a clip whose only motion is a dot near a corner, from frame 1 on."""
    clips = np.zeros((1, 17, 64, 96, 3), np.uint8)
    clips[:, 1:, 2, 90] = 200
    return clips


def get_share(drawn) -> float:
    """Return the share of the windows in which there is a dot."""
    return float(torch.cat(drawn).flatten(1).any(dim=1).float().mean())


def test_most_windows_hold_what_moves():
    drawn = draw_many(make_clips())
    assert {tuple(windows.shape[1:4]) for windows in drawn} == {
        (WINDOW_FRAMES, WINDOW_PX, WINDOW_PX)
    }
    assert MOVING_SHARE - 0.08 < get_share(drawn) < MOVING_SHARE + 0.08


def test_without_a_preference_or_motion_chance_places_windows(monkeypatch):
    still = np.zeros((1, 17, 64, 96, 3), np.uint8)
    assert not torch.cat(draw_many(still, 5)).any()
    monkeypatch.setattr(pretrain_vae, "MOVING_SHARE", 0.0)
    assert get_share(draw_many(make_clips())) < 0.1


def test_windows_are_a_function_of_the_generator():
    clips = np.random.default_rng(0).integers(0, 255, (3, 17, 64, 96, 3), np.uint8)
    first, second = (draw_windows(clips, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, draw_windows(clips, torch.Generator().manual_seed(6)))
