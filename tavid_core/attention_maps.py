"""Softmax weights between slot tokens and the video tokens of the first latent frame.

Shape suffixes: B batch, H heads, N keys (text and video tokens), D width of a head,
Q video tokens of the first latent frame, S slots.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

__all__ = ["text_to_video", "video_to_text"]

# Scores per head up to which materialising them is faster than a second fused call: they stay in
# the processor's cache, and their backward pass has fewer products.
MAX_SMALL_SCORES = 1 << 18


def video_to_text(
    query_BHND: torch.Tensor, key_BHND: torch.Tensor, index_BS: torch.Tensor, first_frame: slice
) -> torch.Tensor:
    """Give the weight of the slot tokens for each video token, as in the paper.

    Args:
        query_BHND: Queries of all tokens, text first.
        key_BHND: Keys likewise.
        index_BS: Positions of the slot tokens, int64.
        first_frame: Where the video tokens of the first latent frame are.

    Returns:
        Softmax weights, mean over heads, float32 (B, S, Q).
    """
    num_heads, num_keys, width = key_BHND.shape[1:]
    num_slots = index_BS.shape[1]
    query_BHQD = query_BHND[:, :, first_frame]
    if query_BHQD.shape[2] * num_keys <= MAX_SMALL_SCORES:
        return _SmallMap.apply(query_BHQD, key_BHND, index_BS).mean(1).transpose(1, 2)
    # As wide as a head and contiguous: every fused backend takes that, narrower values fall back
    # to the one that materialises the scores.
    columns_BNS = functional.one_hot(index_BS, num_keys).to(key_BHND.dtype).transpose(1, 2)
    indicator_BND = functional.pad(columns_BNS, (0, width - num_slots))
    indicator_BHND = indicator_BND[:, None].expand(-1, num_heads, -1, -1).contiguous()
    weights_BHQD = functional.scaled_dot_product_attention(
        query_BHQD.contiguous(), key_BHND, indicator_BHND
    )
    return weights_BHQD[..., :num_slots].float().mean(1).transpose(1, 2)


def text_to_video(
    query_BHND: torch.Tensor, key_BHND: torch.Tensor, index_BS: torch.Tensor, first_frame: slice
) -> torch.Tensor:
    """Give the weight of each video token for the slot tokens.

    Args:
        query_BHND: Queries of all tokens, text first.
        key_BHND: Keys likewise.
        index_BS: Positions of the slot tokens, int64.
        first_frame: Where the video tokens of the first latent frame are.

    Returns:
        Softmax weights, mean over heads, float32 (B, S, Q).
    """
    num_heads, _, width = query_BHND.shape[1:]
    rows_BHSD = index_BS[:, None, :, None].expand(-1, num_heads, -1, width)
    scores_BHSN = query_BHND.gather(2, rows_BHSD) @ key_BHND.transpose(2, 3) / math.sqrt(width)
    return scores_BHSN.float().softmax(-1)[..., first_frame].mean(1)


class _SmallMap(torch.autograd.Function):
    """Softmax weights of the slot tokens' keys, by way of all scores, in the fewest passes.

    Scores are float32 in every precision, as inside the fused call; the products of the backward
    pass are in that of the training.
    """

    @staticmethod
    def forward(
        ctx: Any, query_BHQD: torch.Tensor, key_BHND: torch.Tensor, index_BS: torch.Tensor
    ) -> torch.Tensor:
        ctx.scale = 1.0 / math.sqrt(key_BHND.shape[3])
        with torch.autocast(key_BHND.device.type, enabled=False):
            scores_BHQN = query_BHQD.float() * ctx.scale @ key_BHND.float().transpose(2, 3)
        weights_BHQN = scores_BHQN.softmax(-1)
        index_BHQS = index_BS[:, None, None].expand(*weights_BHQN.shape[:3], -1)
        chosen_BHQS = weights_BHQN.gather(3, index_BHQS)
        weights_BHQN = weights_BHQN.to(_precision(key_BHND))
        ctx.save_for_backward(query_BHQD, key_BHND, index_BS, weights_BHQN, chosen_BHQS)
        return chosen_BHQS

    @staticmethod
    def backward(ctx: Any, grad_BHQS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        query_BHQD, key_BHND, index_BS, weights_BHQN, chosen_BHQS = ctx.saved_tensors
        precision = weights_BHQN.dtype
        query_BHQD, key_BHND = query_BHQD.to(precision), key_BHND.to(precision)
        index_BHSD = index_BS[:, None, :, None].expand(-1, key_BHND.shape[1], -1, key_BHND.shape[3])
        # d softmax_t / d score_n = softmax_t (1[n = t] - softmax_n), summed over the slots t. Both
        # terms of it are multiplied on their own: the sum would be as large as the scores.
        grad_BHQS = grad_BHQS * chosen_BHQS * ctx.scale
        total_BHQ1 = grad_BHQS.sum(-1, keepdim=True).to(precision)
        grad_BHQS = grad_BHQS.to(precision)
        grad_query_BHQD = grad_BHQS @ key_BHND.gather(2, index_BHSD)
        grad_query_BHQD -= total_BHQ1 * (weights_BHQN @ key_BHND)
        grad_key_BHND = weights_BHQN.transpose(2, 3) @ (query_BHQD * -total_BHQ1)
        grad_key_BHND.scatter_add_(2, index_BHSD, grad_BHQS.transpose(2, 3) @ query_BHQD)
        return grad_query_BHQD, grad_key_BHND, None


def _precision(tensor: torch.Tensor) -> torch.dtype:
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype
