"""Pictures: what is drawn where, and that nothing is drawn over what is not asked about."""

import dataclasses

import numpy as np
import pytest

from tavid_core.errors import InputError, ShapeError
from tavid_core.types import Rollout
from tavid_core.visualize import TRACK_COLORS, contact_sheet, draw_motion, draw_overlay
from tests.drawn import draw_plan

GRAY = np.full((64, 96, 3), 90, dtype=np.uint8)
MASK = np.zeros((64, 96), dtype=bool)
MASK[20:40, 30:50] = True


def test_overlay_marks_the_target_and_nothing_else():
    overlay = draw_overlay(GRAY, MASK)
    changed = (overlay != GRAY).any(axis=-1)
    assert changed[MASK].all()
    far = np.ones_like(MASK)
    far[18:42, 28:52] = False
    assert not changed[far].any()
    assert (GRAY == 90).all()


def test_overlay_is_hot_where_the_token_looked_only():
    attention = np.zeros((8, 12), dtype=np.float32)
    attention[6, 10] = 1.0
    overlay = draw_overlay(GRAY, MASK, attention)
    assert np.abs(overlay[52, 83].astype(int) - 90).max() > 60
    assert (overlay[:15] == 90).all()


def test_attention_is_laid_over_the_window_the_model_sees():
    # A 3:2 model sees the middle 96 columns of a 192 x 64 image.
    image = np.full((64, 192, 3), 90, dtype=np.uint8)
    mask = np.zeros((64, 192), dtype=bool)
    mask[30:34, 90:100] = True
    overlay = draw_overlay(image, mask, np.ones((8, 12), dtype=np.float32))
    assert (overlay[:, :47] == 90).all()
    assert (overlay[:, 146:] == 90).all()
    assert (overlay[:, 49:89] != 90).any(axis=-1).all()


def test_motion_draws_paths_and_contact():
    plan = draw_plan()
    canvas = draw_motion(plan.request.image, plan.motion)
    for name in ("target", "right_hand"):
        distance = np.abs(canvas.astype(int) - TRACK_COLORS[name]).sum(axis=-1)
        assert distance.min() < 10, name


def test_motion_up_to_a_frame_draws_less():
    plan = draw_plan()
    image = plan.request.image
    count = [
        (draw_motion(image, plan.motion, last) != image).any(axis=-1).sum() for last in (1, 6, None)
    ]
    assert count[0] < count[1] < count[2]


def test_lost_and_far_points_do_not_break_the_drawing():
    plan = draw_plan()
    target = plan.motion.target
    pixels = target.pixels.copy()
    pixels[3] = np.nan
    pixels[4] = (1e9, -1e9)
    motion = dataclasses.replace(plan.motion, target=dataclasses.replace(target, pixels=pixels))
    assert draw_overlay(plan.request.image, plan.request.target_mask, None, motion).any()


def test_motion_without_actor_is_drawn_too():
    plan = draw_plan(hand_confidence=0.0)
    assert draw_motion(plan.request.image, plan.motion).shape == plan.request.image.shape


@pytest.mark.parametrize(
    ("columns", "tiles", "grid"), [(5, 10, (2, 5)), (4, 6, (2, 4)), (9, 3, (1, 3))]
)
def test_contact_sheet_has_the_asked_grid(columns, tiles, grid):
    frames = np.zeros((17, 64, 96, 3), dtype=np.uint8)
    sheet = contact_sheet(Rollout(frames=frames, fps=8.0), columns, tiles)
    # Tiles are doubled to 128 x 192, with a label of 18 and gaps of 6 pixels.
    assert sheet.shape == (grid[0] * 152 + 6, grid[1] * 198 + 6, 3)


def test_contact_sheet_shows_first_and_last_frame():
    frames = np.zeros((17, 64, 96, 3), dtype=np.uint8)
    frames[0], frames[16] = (250, 0, 0), (0, 0, 250)
    sheet = contact_sheet(Rollout(frames=frames, fps=8.0), 3, 3)
    assert sheet[60, 60].tolist() == [250, 0, 0]
    assert sheet[60, -60].tolist() == [0, 0, 250]


def test_contact_sheet_of_one_frame():
    frames = np.zeros((1, 200, 300, 3), dtype=np.uint8)
    assert contact_sheet(Rollout(frames=frames, fps=8.0)).shape == (230, 312, 3)


def test_no_columns_are_refused():
    rollout = Rollout(frames=np.zeros((2, 64, 96, 3), np.uint8), fps=8.0)
    with pytest.raises(InputError, match="columns and num_tiles must be at least 1, got 0 and 10"):
        contact_sheet(rollout, 0)


def test_mask_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="target_mask must have shape"):
        draw_overlay(GRAY, MASK[:32])
