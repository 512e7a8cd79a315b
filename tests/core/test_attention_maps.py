"""Both ways to the weights of the slot tokens are the same, with their gradients."""

import pytest
import torch

from tavid_core import attention_maps
from tavid_core.attention_maps import video_to_text


def weights_and_gradients(dtype=torch.float32, *, autocast=False):
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(2, 3, 20, 8, generator=generator) for _ in range(2)]
    query, key = (states_BHND.bfloat16().to(dtype).requires_grad_() for states_BHND in states)
    # Two slots; in the second sample they share a token.
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
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


@pytest.mark.parametrize(
    ("dtype", "autocast"), [(torch.float32, True), (torch.bfloat16, False), (torch.bfloat16, True)]
)
def test_half_precision_is_for_the_backward_pass_of_small_maps_only(dtype, autocast):
    expected = weights_and_gradients()
    found = weights_and_gradients(dtype, autocast=autocast)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=1e-8)
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert one.dtype == dtype
        error = (one.float() - other).norm() / other.norm()
        assert 0 < error < 1e-2
