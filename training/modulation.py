"""Attention modulation: the training-free row of the paper's main table.

The base model has no mask channel, so the mask acts where words meet pixels: for the video tokens
of the first latent frame, or of every one, the score of the target word's key is raised inside the
mask and lowered outside of it.

Shape suffixes: B batch, H heads, N tokens, D width of a head, L text tokens, Q video tokens of one
latent frame.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.attention_processor import Attention, CogVideoXAttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from torch.nn import functional

from tavid_core.errors import ConfigError, PromptError, ShapeError
from tavid_core.mask import mask_to_grid
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.prompt import Tokenizer
from tavid_core.types import PlanRequest

__all__ = ["AttentionModulation", "last_word", "modulate", "modulated"]

# The fused attention calls want a width that is a multiple of eight.
PADDING = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionModulation:
    """Which key is raised where.

    Args:
        strength: Added to the score inside the mask and taken off outside, in natural-log units:
            before the softmax is renormalised, weights grow by exp(strength) inside.
        is_word_BL: Which text tokens are the target word's pieces, bool; each is raised alike.
        mask_BQ: The mask on the grid of video tokens, 0 or 1, float32.
        all_frames: Whether the tokens of every latent frame are told where the mask was in the
            first, the only one in which it is known; else those of the first frame alone.

    Raises:
        ConfigError: If the strength is not finite and at least 0.
        ShapeError: If words and masks are not one per sample.

    References:
        arXiv 2503.18950, main table, "attention modulation". The paper does not give the rule;
        an additive term per score, the same in all blocks and steps, is ours, and so is the choice
        of frames.
    """

    strength: float
    is_word_BL: torch.Tensor
    mask_BQ: torch.Tensor
    all_frames: bool = False

    def __post_init__(self) -> None:
        """Check the strength and the shapes."""
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ConfigError(f"strength must be finite and 0 or more, got {self.strength}. Try 2.")
        shapes = self.mask_BQ.shape, self.is_word_BL.shape
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][0] != shapes[1][0]:
            raise ShapeError(
                f"mask_BQ must have one row per word, got {tuple(shapes[0])} for "
                f"{tuple(shapes[1])}. Give one mask and one word per sample.",
                self.mask_BQ.shape,
                (*self.is_word_BL.shape[:1], None),
            )

    def widen(
        self, query_BHND: torch.Tensor, key_BHND: torch.Tensor, num_text_tokens: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Carry the change of the scores in more columns of queries and keys.

        A product of one query column and one key column is a change of rank one, which is all
        that is needed, and the matrix of scores stays unmade.

        Args:
            query_BHND: Queries, text first; with guidance the samples are the last of the batch.
            key_BHND: Keys.
            num_text_tokens: Where the video tokens begin.

        Returns:
            Wider queries and keys; their products must be scaled as the narrow ones are.
        """
        batch, num_queries = self.mask_BQ.shape
        width = query_BHND.shape[-1]
        num_frames = (query_BHND.shape[2] - num_text_tokens) // num_queries
        signs_BQ = (2.0 * self.mask_BQ - 1.0).to(query_BHND)
        signs_BQ = signs_BQ.repeat(1, num_frames if self.all_frames else 1)
        more_query = torch.zeros_like(query_BHND[..., :1])
        told = slice(num_text_tokens, num_text_tokens + signs_BQ.shape[1])
        more_query[-batch:, :, told, 0] = self.strength * math.sqrt(width) * signs_BQ[:, None]
        more_key = torch.zeros_like(key_BHND[..., :1])
        length = self.is_word_BL.shape[1]
        more_key[-batch:, :, :length, 0] = self.is_word_BL.to(more_key)[:, None]
        padding = (0, PADDING - 1)
        return (
            torch.cat([query_BHND, functional.pad(more_query, padding)], dim=-1),
            torch.cat([key_BHND, functional.pad(more_key, padding)], dim=-1),
        )


class _ModulatedAttnProcessor(CogVideoXAttnProcessor2_0):
    """Attention of CogVideoX with the scores of one key changed."""

    def __init__(self, modulation: AttentionModulation) -> None:
        super().__init__()
        self._modulation = modulation

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend over [text, video]; see `CogVideoXAttnProcessor2_0`."""
        if attention_mask is not None:
            raise ConfigError("attention_mask must be None, got one. Do not modulate then.")
        num_text = encoder_hidden_states.size(1)
        states = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        heads = (states.shape[0], states.shape[1], attn.heads, -1)
        query, key, value = (
            layer(states).view(heads).transpose(1, 2) for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        query = query if attn.norm_q is None else attn.norm_q(query)
        key = key if attn.norm_k is None else attn.norm_k(key)
        if image_rotary_emb is not None:
            for states_BHND in (query, key):
                states_BHND[:, :, num_text:] = apply_rotary_emb(
                    states_BHND[:, :, num_text:], image_rotary_emb
                )
        width = query.shape[-1]
        query, key = self._modulation.widen(query, key, num_text)
        attended = functional.scaled_dot_product_attention(
            query, key, functional.pad(value, (0, PADDING)), scale=1 / math.sqrt(width)
        )[..., :width]
        out = attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))
        return out[:, num_text:], out[:, :num_text]


@contextlib.contextmanager
def modulated(
    transformer: CogVideoXTransformer3DModel, modulation: AttentionModulation
) -> Iterator[None]:
    """Change the attention of all blocks for a while.

    Args:
        transformer: The base model.
        modulation: For the batch that runs meanwhile.

    Yields:
        Nothing; the processors from before are put back afterwards.
    """
    layers = [block.attn1 for block in transformer.transformer_blocks]
    before = [layer.processor for layer in layers]
    for layer in layers:
        layer.set_processor(_ModulatedAttnProcessor(modulation))
    try:
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


def modulate(
    pipeline: TargetAwarePipeline,
    requests: Sequence[PlanRequest],
    strength: float,
    *,
    all_frames: bool = False,
) -> AttentionModulation:
    """Make the modulation of a batch of requests; the word is the last of each prompt.

    Args:
        pipeline: The base model.
        requests: Images must have the model's size.
        strength: See `AttentionModulation`.
        all_frames: Likewise.

    Returns:
        The modulation.

    Raises:
        PromptError: If a prompt's last word is cut off.
    """
    grid_hw = pipeline.token_grid()
    length = pipeline.transformer.config.max_text_seq_length
    words = [
        _find_last_word(pipeline.tokenizer, request.prompt.strip(), length) for request in requests
    ]
    masks = [torch.from_numpy(mask_to_grid(r.target_mask, grid_hw)).flatten() for r in requests]
    return AttentionModulation(
        strength=strength,
        is_word_BL=torch.stack(words),
        mask_BQ=torch.stack(masks),
        all_frames=all_frames,
    )


def _find_last_word(tokenizer: Tokenizer, prompt: str, max_length: int) -> torch.Tensor:
    """Mark the tokens of the last word, bool (L,); a word that tokenizers split has several."""
    word = last_word(prompt)
    start = prompt.rindex(word)
    end = start + len(word)
    offsets = tokenizer(
        prompt, truncation=True, max_length=max_length, return_offsets_mapping=True
    )["offset_mapping"]
    if max(last for _, last in offsets) < end:
        raise PromptError(
            f"prompt must leave room for '{word}' within {max_length} tokens, got {prompt!r}. "
            "Shorten it."
        )
    is_word_L = torch.zeros(max_length, dtype=torch.bool)
    is_word_L[: len(offsets)] = torch.tensor(
        [first < end and last > start for first, last in offsets]
    )
    return is_word_L


def last_word(prompt: str) -> str:
    """Give the last word of a prompt: captions end with the object's name.

    Args:
        prompt: One sentence.

    Returns:
        The word without punctuation, as written.

    Raises:
        ConfigError: If there is no word.
    """
    words = "".join(c if c.isalnum() else " " for c in prompt).split()
    if not words:
        raise ConfigError(f"prompt must have words, got {prompt!r}. Name the object last.")
    return words[-1]
