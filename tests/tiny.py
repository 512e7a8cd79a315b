"""Real CogVideoX classes at tiny size: random weights from a seed, no network, CPU, float32."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDPMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXTransformer3DModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tavid_core.pipeline import TargetAwarePipeline

HEIGHT, WIDTH, NUM_FRAMES, MAX_TEXT = 32, 48, 9, 24
LATENT_CHANNELS = 4
WORDS = (
    "The person interacts with target source actor object objects . , ! a an the on in and of to "
    "mug cup box ball red green blue left right table picks up lifts pushes touches hand robot arm "
    "reaches for it then puts down take bottle apple its side behind near far"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per known word, `</s>` at the end, like T5's; unknown words give `<unk>`."""
    pieces = ["<pad>", "</s>", "<unk>", *[f"\u2581{word}" for word in WORDS.split()]]
    pieces += [chr(code) for code in range(33, 127)]
    pieces += ["\u2581"]
    vocabulary = [(piece, 0.0 if index < 3 else -2.0) for index, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def make_text_encoder(seed: int = 0) -> T5EncoderModel:
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(make_tokenizer()),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        tie_word_embeddings=False,
    )
    return T5EncoderModel(config).eval()


def make_vae(seed: int = 0) -> AutoencoderKLCogVideoX:
    torch.manual_seed(seed)
    return AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 3,
        up_block_types=("CogVideoXUpBlock3D",) * 3,
        block_out_channels=(8, 8, 8),
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
        sample_height=HEIGHT,
        sample_width=WIDTH,
    ).eval()


def make_transformer(
    seed: int = 0, *, num_layers: int = 3, num_mask_slots: int = 0, **overrides: object
) -> CogVideoXTransformer3DModel:
    """Laid out like 5B-I2V: rotary AND learned positions."""
    torch.manual_seed(seed)
    options = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 2 * LATENT_CHANNELS + num_mask_slots,
        "out_channels": LATENT_CHANNELS,
        "time_embed_dim": 8,
        "text_embed_dim": 16,
        "num_layers": num_layers,
        "sample_width": WIDTH // 4,
        "sample_height": HEIGHT // 4,
        "sample_frames": NUM_FRAMES,
        "patch_size": 2,
        "temporal_compression_ratio": 4,
        "max_text_seq_length": MAX_TEXT,
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
    }
    return CogVideoXTransformer3DModel(**{**options, **overrides}).eval()


def make_scheduler() -> CogVideoXDPMScheduler:
    return CogVideoXDPMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        snr_shift_scale=1.0,
    )


def make_pipeline(
    seed: int = 0, *, num_mask_slots: int = 0, cls: type = TargetAwarePipeline, **overrides: object
) -> CogVideoXImageToVideoPipeline:
    pipeline = cls(
        tokenizer=make_tokenizer(),
        text_encoder=make_text_encoder(seed),
        vae=make_vae(seed + 1),
        transformer=make_transformer(seed + 2, num_mask_slots=num_mask_slots, **overrides),
        scheduler=make_scheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_image(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A uint8 RGB image of noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_mask(height: int = HEIGHT, width: int = WIDTH, *, left: bool = True) -> np.ndarray:
    """A rectangle in the left or right half."""
    mask = np.zeros((height, width), dtype=bool)
    column = width // 8 if left else width // 2 + width // 8
    mask[height // 4 : height // 2, column : column + width // 4] = True
    return mask
