"""The subclass against plain diffusers, bit for bit, and the masks' way into the transformer."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXImageToVideoPipeline

from tavid_core.adapter import widen_patch_embed
from tavid_core.errors import ConfigError, InputError, ShapeError
from tavid_core.pipeline import TargetAwarePipeline
from tests import tiny

CHANNELS = 2 * tiny.LATENT_CHANNELS
PROMPT = "The person interacts with target object. picks up the mug"


def sample(pipeline, *, batch: int = 1, **options):
    """Latents of two steps."""
    images = [PIL.Image.fromarray(tiny.make_image(seed)) for seed in range(batch)]
    settings = {
        "num_frames": tiny.NUM_FRAMES,
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "max_sequence_length": tiny.MAX_TEXT,
        "generator": torch.Generator("cpu").manual_seed(11),
        "output_type": "latent",
    }
    return pipeline(images, [PROMPT] * batch, **{**settings, **options}).frames


def make_widened(num_mask_slots: int = 1, *, mask_weight: float = 0.0) -> TargetAwarePipeline:
    pipeline = tiny.make_pipeline()
    widen_patch_embed(pipeline.transformer, num_mask_slots)
    # Drawn at random: the block's norm removes what is equal in all features.
    torch.manual_seed(9)
    with torch.no_grad():
        pipeline.transformer.patch_embed.proj.weight[:, CHANNELS:].normal_(std=mask_weight)
    return pipeline


def capture_inputs(pipeline) -> list[torch.Tensor]:
    seen = []
    pipeline.transformer.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["hidden_states"].clone()), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize("num_mask_slots", [1, 2, 3])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_zero_mask_weights_equal_plain_diffusers(num_mask_slots, guidance_scale):
    plain = sample(
        tiny.make_pipeline(cls=CogVideoXImageToVideoPipeline), guidance_scale=guidance_scale
    )
    masks = [np.stack([tiny.make_mask()] * num_mask_slots)]
    ours = sample(make_widened(num_mask_slots), masks=masks, guidance_scale=guidance_scale)
    assert torch.equal(ours, plain)


def test_base_model_without_masks_equals_plain_diffusers_in_pixels():
    plain = sample(tiny.make_pipeline(cls=CogVideoXImageToVideoPipeline), output_type="np")
    assert np.array_equal(sample(tiny.make_pipeline(), output_type="np"), plain)
    assert plain.shape == (1, tiny.NUM_FRAMES, tiny.HEIGHT, tiny.WIDTH, 3)


@pytest.mark.parametrize("num_mask_slots", [1, 2, 3])
def test_masks_change_the_video_through_their_channels(num_mask_slots):
    pipeline = make_widened(num_mask_slots, mask_weight=0.3)
    left, right = tiny.make_mask(), tiny.make_mask(left=False)
    first = sample(pipeline, masks=[np.stack([left] * num_mask_slots)])
    other = sample(pipeline, masks=[np.stack([left] * (num_mask_slots - 1) + [right])])
    again = sample(pipeline, masks=[np.stack([left] * num_mask_slots)])
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4


def test_transformer_sees_masks_in_the_first_frame_of_both_guidance_halves():
    pipeline = make_widened(2)
    seen = capture_inputs(pipeline)
    left, right = tiny.make_mask(), tiny.make_mask(left=False)
    sample(pipeline, batch=2, masks=[np.stack([left, right]), np.stack([right, left])])
    hidden_BFCHW = seen[0]
    assert hidden_BFCHW.shape == (4, 3, CHANNELS + 2, 8, 12)
    grids = torch.from_numpy(np.stack([left, right])[:, ::4, ::4].astype(np.float32))
    for half in (hidden_BFCHW[:2], hidden_BFCHW[2:]):
        assert torch.equal(half[0, 0, CHANNELS:], grids)
        assert torch.equal(half[1, 0, CHANNELS:], grids.flip(0))
    assert not hidden_BFCHW[:, 1:, CHANNELS:].any()


def test_guidance_by_mask_hides_the_masks_from_the_unconditional_half():
    pipeline = make_widened(2, mask_weight=0.3)
    seen = []
    project = pipeline.transformer.patch_embed.forward
    pipeline.transformer.patch_embed.forward = lambda text, video: (
        seen.append(video.clone()) or project(text, video)
    )
    masks = [np.stack([tiny.make_mask(), tiny.make_mask(left=False)])] * 2
    sample(pipeline, batch=2, masks=masks, guide_by_mask=True)
    for video_BFCHW in seen:
        assert not video_BFCHW[:2, :, CHANNELS:].any()
        assert video_BFCHW[2:, 0, CHANNELS:].flatten(2).any(-1).all()
        halves = video_BFCHW[:, :, :CHANNELS].chunk(2)
        assert torch.equal(*halves)
    seen.clear()
    sample(pipeline, batch=2, masks=masks)
    assert all(video_BFCHW[:2, 0, CHANNELS:].any() for video_BFCHW in seen)


@pytest.mark.parametrize("use_dynamic_cfg", [False, True])
def test_guidance_by_mask_pulls_to_the_target(use_dynamic_cfg):
    pipeline = make_widened(mask_weight=0.3)
    # Then the halves differ by the mask alone.
    options = {"negative_prompt": [PROMPT], "use_dynamic_cfg": use_dynamic_cfg}
    target = [tiny.make_mask()[None]]
    plain = sample(pipeline, masks=target, **options)
    assert torch.allclose(sample(pipeline, masks=target, guidance_scale=1.0), plain, atol=1e-5)
    guided = sample(pipeline, masks=target, guide_by_mask=True, **options)
    assert (guided - plain).abs().max() > 1e-4
    blind = make_widened(mask_weight=0.0)
    blindly = sample(blind, masks=target, guide_by_mask=True, **options)
    assert torch.equal(blindly, sample(blind, masks=target, **options))


def test_guidance_by_mask_changes_nothing_without_guidance_or_masks():
    pipeline, target = make_widened(mask_weight=0.3), [tiny.make_mask()[None]]
    plain = sample(pipeline, masks=target, guidance_scale=1.0)
    by_mask = sample(pipeline, masks=target, guidance_scale=1.0, guide_by_mask=True)
    assert torch.equal(by_mask, plain)
    base = tiny.make_pipeline()
    assert torch.equal(sample(base, guide_by_mask=True), sample(base))


def test_guidance_by_mask_ends_with_its_call():
    pipeline, target = make_widened(mask_weight=0.3), [tiny.make_mask()[None]]
    before = sample(pipeline, masks=target)
    with pytest.raises(InputError, match="num_frames must be"):
        sample(pipeline, masks=target, guide_by_mask=True, num_frames=8)
    sample(pipeline, masks=target, guide_by_mask=True)
    assert torch.equal(sample(pipeline, masks=target), before)


def test_batch_items_keep_their_own_masks():
    pipeline = make_widened(1, mask_weight=0.3)
    left, right = tiny.make_mask()[None], tiny.make_mask(left=False)[None]
    image = PIL.Image.fromarray(tiny.make_image())
    noise = torch.randn(
        1, 3, tiny.LATENT_CHANNELS, 8, 12, generator=torch.Generator().manual_seed(2)
    )

    def run(masks):
        generators = [torch.Generator("cpu").manual_seed(4) for _ in masks]
        return pipeline(
            [image] * len(masks),
            [PROMPT] * len(masks),
            masks=masks,
            latents=noise.repeat(len(masks), 1, 1, 1, 1),
            generator=generators,
            num_inference_steps=2,
            output_type="latent",
        ).frames

    both = run([left, right])
    assert torch.allclose(both[:1], run([left]), atol=1e-5)
    assert torch.allclose(both[1:], run([right]), atol=1e-5)
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_mask_of_another_size_is_fitted_with_the_image():
    pipeline = make_widened(1, mask_weight=0.3)
    seen = capture_inputs(pipeline)
    image = PIL.Image.fromarray(tiny.make_image(0, 64, 96))
    pipeline(
        image,
        PROMPT,
        masks=[tiny.make_mask(64, 96)[None]],
        num_inference_steps=1,
        output_type="latent",
    )
    grid = torch.from_numpy(tiny.make_mask()[::4, ::4].astype(np.float32))
    assert torch.equal(seen[0][1, 0, CHANNELS], grid)


def test_ddim_and_save_load_work_with_masks(tmp_path):
    pipeline = make_widened(2, mask_weight=0.3)
    pipeline.scheduler = CogVideoXDDIMScheduler.from_config(pipeline.scheduler.config)
    masks = [np.stack([tiny.make_mask(), tiny.make_mask(left=False)])]
    expected = sample(pipeline, masks=masks)
    pipeline.save_pretrained(tmp_path)
    loaded = TargetAwarePipeline.from_pretrained(tmp_path, use_safetensors=True)
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(sample(loaded, masks=masks), expected)


def test_masks_do_not_leak_into_the_next_call():
    pipeline = make_widened(1, mask_weight=0.3)
    sample(pipeline, masks=[tiny.make_mask()[None]])
    with pytest.raises(InputError, match=r"masks must hold 1 slot\(s\) per image, got None"):
        sample(pipeline)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ([], ShapeError, "masks must hold one set per image"),
        (
            [np.zeros((1, 32, 48), bool)],
            InputError,
            r"masks\[0\]\[0\] must mark at least one pixel",
        ),
        ([np.ones((1, 32, 48), bool)], InputError, "must leave some pixels unmarked"),
        ([tiny.make_mask()], ShapeError, r"masks\[0\] must have shape \(1, \*, \*\)"),
        ([tiny.make_mask()[None].astype(np.uint8)], InputError, r"masks\[0\] must be bool"),
        ([tiny.make_mask(48, 48)[None]], ShapeError, r"must have the image's aspect \(48x32\)"),
        ([tiny.make_mask()[None]] * 2, ShapeError, r"masks must have shape \(1\), got \(2,\)"),
    ],
)
def test_unusable_masks_are_refused(masks, error, message):
    with pytest.raises(error, match=message):
        sample(make_widened(1), masks=masks)


def test_masks_without_a_channel_are_refused():
    with pytest.raises(ConfigError, match="must have a mask channel per slot"):
        sample(tiny.make_pipeline(), masks=[tiny.make_mask()[None]])
    text_to_video = tiny.make_pipeline(in_channels=tiny.LATENT_CHANNELS)
    with pytest.raises(ConfigError, match="must take image latents"):
        sample(text_to_video)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"height": 36}, "must be multiples of 8, got 36 and 48"),
        ({"height": 64, "width": 96}, "must be those of the model's learned positions"),
        ({"num_frames": 10}, r"num_frames must be 8n\+1 with n >= 1, got 10"),
        ({"num_frames": 17}, "must be those of the model's learned positions"),
    ],
)
def test_sizes_the_model_was_not_built_for_are_refused(size, message):
    with pytest.raises(InputError, match=message):
        sample(tiny.make_pipeline(), **size)


def test_rotary_only_model_takes_other_sizes():
    pipeline = tiny.make_pipeline(use_learned_positional_embeddings=False)
    latents = sample(pipeline, height=48, width=64, num_frames=17)
    assert latents.shape == (1, 5, tiny.LATENT_CHANNELS, 12, 16)
    assert pipeline.token_grid(48, 64) == (6, 8)


def test_temporal_patches_are_refused():
    pipeline = tiny.make_pipeline(
        patch_size_t=2, sample_frames=13, use_learned_positional_embeddings=False
    )
    with pytest.raises(ConfigError, match="must have no temporal patches"):
        sample(pipeline)


def test_wrong_image_types_and_counts_are_refused():
    pipeline = tiny.make_pipeline()
    with pytest.raises(InputError, match="image must be a PIL image"):
        pipeline(tiny.make_image(), PROMPT)
    with pytest.raises(ShapeError, match=r"image must have shape \(2\), got \(1,\)"):
        pipeline(PIL.Image.fromarray(tiny.make_image()), [PROMPT] * 2, num_inference_steps=1)
