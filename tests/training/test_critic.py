"""The critic tells decoded videos from recorded ones, and what it says sharpens them."""

import pytest
import torch
from torch.nn import functional

from tavid_core.errors import ConfigError
from training.critic import GROWING_STEPS, SILENT_STEPS, AdversarialLoss, VideoCritic


def stripes(count=2, seed=0):
    """Videos of stripes that move, and the same blurred."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.arange(24) + torch.randint(6, (count, 1, 9, 1, 1), generator=generator)
    sharp_BCTHW = torch.where(columns % 6 < 3, 0.7, -0.7).expand(-1, 3, -1, 16, -1)
    blurred = functional.avg_pool2d(sharp_BCTHW.flatten(0, 1), 5, 1, 2, count_include_pad=False)
    return sharp_BCTHW, blurred.unflatten(0, (count, 3))


class Decoder(torch.nn.Module):
    """One layer that begins with the video as it is."""

    def __init__(self):
        super().__init__()
        self.last = torch.nn.Conv3d(3, 3, 1)
        torch.nn.init.dirac_(self.last.weight)
        torch.nn.init.zeros_(self.last.bias)

    def forward(self, video_BCTHW):
        return self.last(video_BCTHW)


def test_scores_are_of_places():
    assert VideoCritic(width=4)(torch.zeros(2, 3, 9, 32, 48)).shape == (2, 1, 9, 8, 12)


def test_it_learns_what_is_sharp_and_pulls_there():
    torch.manual_seed(0)
    critic = VideoCritic(width=8)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=3e-3)
    decoder = Decoder()
    judge = AdversarialLoss(critic, decoder.last.weight, 1.0)
    for step in range(60):
        sharp, blurred = stripes(seed=step)
        optimizer.zero_grad()
        judge(0, torch.zeros(()), decoder(blurred), sharp)["loss"].backward()
        optimizer.step()
    sharp, blurred = stripes(seed=1000)
    assert critic(sharp).mean() > critic(blurred).mean() + 0.5
    # Against the gradient of its opinion edges become steeper.
    blurred.requires_grad_(True)
    (-critic(blurred).mean()).backward()
    pull, missing = -blurred.grad, (sharp - blurred).detach()
    assert functional.cosine_similarity(pull.flatten(), missing.flatten(), dim=0) > 0.1


def losses(step, weight=0.5):
    torch.manual_seed(0)
    critic, decoder, (sharp, blurred) = VideoCritic(width=4), Decoder(), stripes()
    output = decoder(blurred)
    error = (output - sharp).square().mean()
    judge = AdversarialLoss(critic, decoder.last.weight, weight)
    return critic, decoder, judge(step, error, output, sharp)


def test_at_first_the_decoder_follows_the_error_alone():
    critic, decoder, found = losses(SILENT_STEPS)
    wanted = torch.autograd.grad(found["error"], decoder.last.weight, retain_graph=True)[0]
    found["loss"].backward()
    torch.testing.assert_close(decoder.last.weight.grad, wanted)
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_later_the_opinion_pulls_as_hard_as_its_weight_says():
    critic, decoder, found = losses(SILENT_STEPS + GROWING_STEPS)
    by_error = torch.autograd.grad(found["error"], decoder.last.weight, retain_graph=True)[0]
    wanted = torch.autograd.grad(found["critic"], [*critic.parameters()], retain_graph=True)
    found["loss"].backward()
    by_opinion = decoder.last.weight.grad - by_error
    assert by_opinion.norm() == pytest.approx(0.5 * by_error.norm().item(), rel=1e-3)
    # And the critic does not learn to please itself.
    for parameter, gradient in zip(critic.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(ConfigError, match="weight must be above 0 and finite, got"):
        AdversarialLoss(VideoCritic(width=4), Decoder().last.weight, weight)
