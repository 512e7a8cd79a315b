"""The planner node shows the model a picture as training does: no skew between the two."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from std_msgs.msg import Header

from tavid_core.frame_fit import FrameFit
from tavid_core.mask import mask_to_grid
from tavid_core.model_card import ModelCard
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from tavid_ros import conversions
from tests import tiny
from training.clips import ClipRecord, read_frames, read_mask, write_frames
from training.mini import frames_to_tensor


@pytest.fixture(scope="module")
def planner():
    pipeline = tiny.make_pipeline(num_mask_slots=1)
    return InteractionPlanner(pipeline, None, ModelCard(name="tiny", num_frames=tiny.NUM_FRAMES))


def make_scene(height, width):
    """A smooth picture, as cameras give, and a mask; the target is in the middle."""
    noise = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((height, width), bool)
    mask[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5] = True
    return image, mask


# Larger than the model's 32 x 48, wider, higher, and of its own size.
@pytest.mark.parametrize("size_hw", [(96, 200), (180, 120), (32, 48)])
def test_live_image_and_clip_of_it_look_the_same_to_the_model(planner, tmp_path, size_hw):
    image, mask = make_scene(*size_hw)
    pipeline = planner.sampler.pipeline

    # The way of a message: camera, node, planner, pipeline.
    message = conversions.message_from_image(image, Header())
    request = PlanRequest(
        image=conversions.image_from_message(message),
        target_mask=conversions.mask_from_message(conversions.message_from_mask(mask, Header())),
        prompt="a person lifts the target mug",
    )
    inputs, _ = planner.sampler._condition(request)
    live_BCHW = pipeline.video_processor.preprocess(inputs["image"], *pipeline.size_hw)
    live_grid = pipeline._fit_masks(inputs["masks"], pipeline.size_hw, pipeline.size_hw)[0, 0]

    # The way of a clip: the same fit, then files, then training's reader.
    fit = FrameFit(size_hw, pipeline.size_hw)
    frames = np.repeat(fit.fit_image(image)[None], tiny.NUM_FRAMES, axis=0)
    write_frames(tmp_path / "clip.mp4", frames, 8.0)
    cv2.imwrite(str(tmp_path / "mask.png"), fit.fit_mask(mask).astype(np.uint8) * 255)
    record = ClipRecord(
        file_name="clip.mp4", text="", fps=8.0, mask_file="mask.png", source="", licence=""
    )
    stored = read_frames(tmp_path, record)
    clip_BCTHW = frames_to_tensor(torch.from_numpy(stored[None]))
    latent_hw = tuple(side // pipeline.vae_scale_factor_spatial for side in pipeline.size_hw)
    clip_grid = mask_to_grid(read_mask(tmp_path, "mask.png"), latent_hw)

    unpacked = frames_to_tensor(torch.from_numpy(frames[None]))
    torch.testing.assert_close(live_BCHW, unpacked[:, :, 0], atol=1e-6, rtol=0.0)
    # What the video compression leaves: a few grey levels of 255.
    assert (live_BCHW - clip_BCTHW[:, :, 0]).abs().mean() < 4.0 / 127.5
    np.testing.assert_array_equal(live_grid.numpy(), clip_grid)
