"""The attention map of the slot tokens, recorded while the transformer runs.

CogVideoX computes its joint attention over [text, video] in one fused call, so no probabilities
exist that could be hooked. For the few queries that matter a second fused call is made whose
value matrix is an indicator of the slot token's row: its output *is* the softmax weight of that
key, exact and differentiable, and the score matrix is never materialised (but for the sizes of the
mini model, where it is small).

Shape suffixes: B batch, H heads, N keys (text and video tokens), D width of a head,
Q video tokens of the first latent frame, S slots.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.attention_processor import Attention, CogVideoXAttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from torch.nn import functional

from tavid_core.attention_maps import text_to_video, video_to_text
from tavid_core.errors import ConfigError, NotReadyError, ShapeError

__all__ = ["AttentionRecorder", "TargetAttnProcessor", "install_processors", "token_grid"]

DIRECTIONS = ("v2t", "t2v")


class AttentionRecorder:
    """Collect the map A of the slot tokens during passes through a transformer.

    Make one per training step, or one per rollout, and pass it as
    `attention_kwargs={"recorder": recorder}`. It is an object on purpose: offloading and
    DistributedDataParallel rebuild dictionaries on the way, and what is written into a copy is
    lost.

    `maps` holds the maps of the latest pass. Gradient checkpointing runs a block again during
    backward; the second run does not replace the map of the first, whose graph the loss is on.

    Args:
        token_index: Position of the slot token in the token ids, per sample: B numbers, or B
            sequences of S numbers for several slots.
        grid_hw: Rows and columns of the video tokens of one latent frame (see `token_grid`).
        blocks: Record only these of the installed blocks; None records all of them.
        conditional_only: Whether the batch is [unconditional, conditional] as under
            classifier-free guidance; only the conditional half is then recorded.
        steps: Record only these denoising steps (0-based, counted by `end_step`); None records all.
        direction: "v2t" (queries are the video tokens of the first latent frame, the key is the
            slot token) or "t2v" (the query is the slot token), as compared in the paper.

    Attributes:
        maps: Per block index the latest map, float32, (B, Q) or (B, S, Q).

    References:
        arXiv 2503.18950, section 3 and its ablation of V2T against T2V. The released code takes
        the token index as a constant; here it is per sample.
    """

    def __init__(
        self,
        *,
        token_index: Sequence[int] | Sequence[Sequence[int]] | torch.Tensor,
        grid_hw: tuple[int, int],
        blocks: Collection[int] | None = None,
        conditional_only: bool = False,
        steps: Collection[int] | None = None,
        direction: str = "v2t",
    ) -> None:
        index = torch.as_tensor(token_index, dtype=torch.long)
        if index.ndim not in (1, 2) or index.numel() == 0 or int(index.min()) < 0:
            raise ShapeError(
                "token_index must hold positions of 0 or more, shape (B,) or (B, S), got "
                f"{index.tolist()}. Give one per sample (and slot).",
                index.shape,
                (None,),
            )
        if direction not in DIRECTIONS:
            raise ConfigError(
                f"direction must be one of {DIRECTIONS}, got {direction!r}. Use 'v2t'."
            )
        self.token_index = index
        self.grid_hw = grid_hw
        self.blocks = None if blocks is None else frozenset(blocks)
        self.conditional_only = conditional_only
        self.steps = None if steps is None else frozenset(steps)
        self.direction = direction
        self.maps: dict[int, torch.Tensor] = {}
        # Read here, not during a pass: it would cut a compiled graph in two.
        self._highest_index = int(index.max())
        self._step = 0
        self._num_recorded_steps = 0
        self._sum: torch.Tensor | None = None
        self._pass_has_grad: bool | None = None

    @property
    def num_queries(self) -> int:
        """Video tokens of one latent frame."""
        return math.prod(self.grid_hw)

    def begin_pass(self) -> None:
        """Forget the maps of the last pass; called by the transformer before each forward."""
        self.maps = {}
        self._pass_has_grad = torch.is_grad_enabled()

    def wants(self, block_index: int) -> bool:
        """Say whether a block is to be recorded in this step.

        Args:
            block_index: 0-based index of the transformer block.

        Returns:
            True if its map is wanted.
        """
        in_blocks = self.blocks is None or block_index in self.blocks
        return in_blocks and (self.steps is None or self._step in self.steps)

    def record(
        self,
        block_index: int,
        query_BHND: torch.Tensor,
        key_BHND: torch.Tensor,
        num_text_tokens: int,
    ) -> None:
        """Compute and keep the map of one block; called by the attention processor.

        Args:
            block_index: 0-based index of the transformer block.
            query_BHND: Queries after norm and rotary embedding, text first.
            key_BHND: Keys after norm and rotary embedding, text first.
            num_text_tokens: Where the video tokens begin.

        Raises:
            NotReadyError: If the processors were not put in by `install_processors`.
            ConfigError: If gradient checkpointing is reentrant, which would cut the gradient of
                the map without a word.
            ShapeError: If batch or tokens are not what the recorder was made for.
        """
        if self._pass_has_grad is None:
            raise NotReadyError(
                "recorder must be told when a pass begins, got a block before that. "
                "Put the processors in with install_processors()."
            )
        if self._pass_has_grad and not torch.is_grad_enabled():
            raise ConfigError(
                "gradient checkpointing must be non-reentrant while attention is recorded, got a "
                "block that runs without gradients inside a pass with them. "
                "Use enable_gradient_checkpointing() as it is, or use_reentrant=False."
            )
        if self.conditional_only:
            query_BHND, key_BHND = query_BHND.chunk(2)[-1], key_BHND.chunk(2)[-1]
        self._check(query_BHND.shape[0], query_BHND.shape[2], num_text_tokens)
        index_BS = self.token_index.to(query_BHND.device).view(len(self.token_index), -1)
        first_frame = slice(num_text_tokens, num_text_tokens + self.num_queries)
        attend = video_to_text if self.direction == "v2t" else text_to_video
        map_BSQ = attend(query_BHND, key_BHND, index_BS, first_frame)
        # Computed again in a checkpoint's second run as well: both runs must save the same tensors.
        self.maps.setdefault(
            block_index, map_BSQ if self.token_index.ndim == 2 else map_BSQ.squeeze(1)
        )

    def mean_map(self) -> torch.Tensor:
        """Average the maps of the latest pass over its blocks.

        Returns:
            float32, (B, Q) or (B, S, Q); on the graph if gradients were enabled.

        Raises:
            NotReadyError: If no block recorded a map.
        """
        if not self.maps:
            raise NotReadyError(
                "recorder must have seen a pass of the transformer, got no maps. Pass it as "
                'attention_kwargs={"recorder": recorder} to a transformer whose chosen blocks '
                "have processors from install_processors() (fusing q, k, v replaces them)."
            )
        return torch.stack([self.maps[block] for block in sorted(self.maps)]).mean(0)

    def end_step(self) -> None:
        """Fold the latest maps into the mean over steps; call after each denoising step."""
        if self.maps:
            step_map = self.mean_map().detach()
            self._sum = step_map if self._sum is None else self._sum + step_map
            self._num_recorded_steps += 1
        self.maps = {}
        self._step += 1

    def step_mean(self) -> torch.Tensor:
        """Average over all recorded steps and blocks.

        Returns:
            float32, (B, Q) or (B, S, Q), without a graph.

        Raises:
            NotReadyError: If no step was recorded.
        """
        if self._sum is None:
            raise NotReadyError(
                "recorder must have ended a recorded step, got none. Call end_step() after each "
                "denoising step."
            )
        return self._sum / self._num_recorded_steps

    def _check(self, batch: int, num_tokens: int, num_text_tokens: int) -> None:
        if batch != len(self.token_index):
            raise ShapeError(
                f"token_index must have one row per sample ({batch}), got "
                f"{len(self.token_index)}. With guidance set conditional_only=True.",
                (len(self.token_index),),
                (batch,),
            )
        if self._highest_index >= num_text_tokens:
            raise ShapeError(
                f"token_index must lie in 0..{num_text_tokens - 1}, got {self._highest_index}. "
                "Find it with tavid_core.prompt.find_slot_index().",
                (self._highest_index,),
                (num_text_tokens,),
            )
        if num_tokens < num_text_tokens + self.num_queries:
            raise ShapeError(
                f"grid_hw must fit into {num_tokens - num_text_tokens} video tokens, got "
                f"{self.grid_hw}. Use token_grid().",
                self.grid_hw,
                (None, None),
            )


class TargetAttnProcessor(CogVideoXAttnProcessor2_0):
    """Attention of CogVideoX that hands queries and keys to a recorder, if there is one.

    Without a recorder, or on a block that is not wanted, the stock processor runs unchanged.

    Args:
        block_index: 0-based index of the transformer block.
        is_chosen: Whether this block may be recorded at all.
    """

    def __init__(self, block_index: int, *, is_chosen: bool = True) -> None:
        super().__init__()
        self.block_index = block_index
        self.is_chosen = is_chosen

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
        recorder: AttentionRecorder | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend over [text, video] and record the map where it is wanted.

        Args:
            attn: The attention layer.
            hidden_states: Video tokens, (B, video tokens, H * D).
            encoder_hidden_states: Text tokens, (B, text tokens, H * D).
            attention_mask: Never set by CogVideoX; not combined with a recorder.
            image_rotary_emb: Cosines and sines for the video tokens, or None.
            recorder: Where the map goes, or None.

        Returns:
            Video tokens and text tokens.

        Raises:
            ConfigError: If an attention mask and a recorder are given together.
        """
        if recorder is None or not (self.is_chosen and recorder.wants(self.block_index)):
            return super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
            )
        if attention_mask is not None:
            raise ConfigError(
                "attention_mask must be None while attention is recorded, got one. "
                "Pass no recorder, or no mask."
            )
        num_text = encoder_hidden_states.size(1)
        states = torch.cat([encoder_hidden_states, hidden_states], dim=1)
        heads = (states.shape[0], states.shape[1], attn.heads, -1)
        query_BHND = _norm(attn.norm_q, attn.to_q(states).view(heads).transpose(1, 2))
        key_BHND = _norm(attn.norm_k, attn.to_k(states).view(heads).transpose(1, 2))
        value_BHND = attn.to_v(states).view(heads).transpose(1, 2)
        if image_rotary_emb is not None:
            query_BHND = _rotate(query_BHND, num_text, image_rotary_emb)
            key_BHND = _rotate(key_BHND, num_text, image_rotary_emb)
        recorder.record(self.block_index, query_BHND, key_BHND, num_text)
        attended = functional.scaled_dot_product_attention(query_BHND, key_BHND, value_BHND)
        out = attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))
        return out[:, num_text:], out[:, :num_text]


def install_processors(
    transformer: CogVideoXTransformer3DModel, blocks: Collection[int] | None = None
) -> None:
    """Make a transformer ready for `AttentionRecorder`; may be called again with other blocks.

    All blocks get the processor (diffusers logs a warning for every stock one that meets the
    recorder), only the chosen ones record.

    Args:
        transformer: The model, with or without LoRA, before or after it is compiled.
        blocks: 0-based indices of the blocks that may be recorded; None chooses all.

    Raises:
        ConfigError: If an index is outside the model.
    """
    num_blocks = len(transformer.transformer_blocks)
    chosen = frozenset(range(num_blocks) if blocks is None else blocks)
    if not chosen or min(chosen) < 0 or max(chosen) >= num_blocks:
        raise ConfigError(
            f"blocks must be indices in 0..{num_blocks - 1}, got {sorted(chosen)}. "
            "Choose blocks that this model has."
        )
    for index, block in enumerate(transformer.transformer_blocks):
        block.attn1.set_processor(TargetAttnProcessor(index, is_chosen=index in chosen))
    hooks = transformer._forward_pre_hooks.values()  # noqa: SLF001 (torch has no other way to ask)
    if not any(hook is _begin_pass for hook in hooks):
        transformer.register_forward_pre_hook(_begin_pass, with_kwargs=True)


def token_grid(
    transformer: CogVideoXTransformer3DModel, latent_hw: tuple[int, int]
) -> tuple[int, int]:
    """Say how many video tokens a latent frame has.

    Args:
        transformer: The model.
        latent_hw: Rows and columns of the latents.

    Returns:
        Rows and columns of the tokens.
    """
    patch = transformer.config.patch_size
    return latent_hw[0] // patch, latent_hw[1] // patch


def _begin_pass(_: torch.nn.Module, __: tuple, kwargs: dict[str, Any]) -> None:
    recorder = (kwargs.get("attention_kwargs") or {}).get("recorder")
    if recorder is not None:
        recorder.begin_pass()


def _norm(norm: torch.nn.Module | None, states: torch.Tensor) -> torch.Tensor:
    return states if norm is None else norm(states)


def _rotate(
    states_BHND: torch.Tensor, num_text: int, rotary: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    rotated = apply_rotary_emb(states_BHND[:, :, num_text:], rotary)
    return torch.cat([states_BHND[:, :, :num_text], rotated], dim=2)
