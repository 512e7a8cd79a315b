"""Both ways to the weights of the slot tokens are the same, with their gradients."""

import torch

from tavid_core import attention_maps
from tavid_core.attention_maps import video_to_text


def weights_and_gradients():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, 20, 8, generator=generator).requires_grad_() for _ in range(2))
    # Two slots; in the second sample they share a token.
    weights = video_to_text(query, key, torch.tensor([[1, 3], [2, 2]]), slice(4, 14))
    (weights * torch.randn(weights.shape, generator=generator)).sum().backward()
    return weights, query.grad, key.grad


def test_small_maps_are_those_of_the_fused_call(monkeypatch):
    small = weights_and_gradients()
    monkeypatch.setattr(attention_maps, "MAX_SMALL_SCORES", 0)
    fused = weights_and_gradients()
    assert small[0].shape == (2, 2, 10)
    for one, other in zip(small, fused, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
        assert one.abs().max() > 1e-3
