"""A critic of decoded videos, and the loss by which a decoder learns to please it.

A decoder that is asked for the least error answers what it cannot know with the mean of what it
might be, a blur. A critic that learns to tell decoded videos from recorded ones does not let that
pass: the decoder has to decide.

Shapes: B batch, T frames, C channels, H rows, W columns; 1 score per place.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from tavid_core.errors import ConfigError

__all__ = ["AdversarialLoss", "VideoCritic", "check_weight"]

WIDTH = 24
# Of the gradient's length: an error that is almost nothing must not make the critic's say endless.
MIN_GRADIENT = 1e-6
# Steps that the critic learns alone, and in which its say then grows: at first it knows nothing.
SILENT_STEPS, GROWING_STEPS = 60, 100
LEAK = 0.2


def check_weight(weight: float) -> None:
    """Refuse a weight that no opinion can have.

    Args:
        weight: Of the opinion, in units of the error.

    Raises:
        ConfigError: If it is not above 0 and finite.
    """
    if not 0 < weight < math.inf:
        raise ConfigError(
            f"weight must be above 0 and finite, got {weight}. Leave the critic out for 0."
        )


class VideoCritic(nn.Module):
    """Says of each place of a video how much it looks recorded, rather than decoded.

    It sees each frame and what has changed since the first one, a few frames at a time.

    Args:
        width: Channels of its first layer.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        sizes = [
            # Channels in and out; kernel, stride and padding in time, rows and columns.
            (6, width, (1, 4, 4), (1, 2, 2), (0, 1, 1)),
            (width, 2 * width, (3, 4, 4), (1, 2, 2), (1, 1, 1)),
            (2 * width, 4 * width, (3, 3, 3), (1, 1, 1), (1, 1, 1)),
            (4 * width, 1, (1, 3, 3), (1, 1, 1), (0, 1, 1)),
        ]
        self.layers = nn.ModuleList(spectral_norm(nn.Conv3d(*size)) for size in sizes)

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """Judge videos.

        Args:
            video_BCTHW: RGB, -1..1, at least 8 x 8 pixels.

        Returns:
            Scores (B, 1, T, H / 4, W / 4), higher where it looks recorded.
        """
        change_BCTHW = video_BCTHW - video_BCTHW[:, :, :1].detach()
        values = torch.cat([video_BCTHW, change_BCTHW], dim=1)
        for layer in self.layers[:-1]:
            values = nn.functional.leaky_relu(layer(values), LEAK)
        return self.layers[-1](values)


class AdversarialLoss:
    """Adds a critic's opinion to an error, and lets the critic learn from the same videos.

    One sum serves both, as they share no gradient: the critic's own loss sees the decoded video as
    it is, and its opinion is taken with its weights as they are.

    Args:
        critic: Trained along; its parameters require gradients.
        last_weight: Of the decoder's last layer; the opinion is scaled there to the error.
        weight: Length of the opinion's gradient in units of the error's; above 0.

    Raises:
        ConfigError: If the weight is not above 0 and finite.

    References:
        Esser, Rombach and Ommer, Taming transformers (arXiv 2012.09841), equation 7: the scale;
        hinge losses as there. Theirs judges pictures; this one judges frames beside the first one,
        for what matters here is what moves.
    """

    def __init__(self, critic: VideoCritic, last_weight: nn.Parameter, weight: float) -> None:
        check_weight(weight)
        self._critic, self._last_weight, self._weight = critic, last_weight, weight

    def __call__(
        self,
        step: int,
        error: torch.Tensor,
        output_BCTHW: torch.Tensor,
        truth_BCTHW: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of a step.

        Args:
            step: Of the run, from 0.
            error: Of the decoded videos, a scalar with its graph.
            output_BCTHW: Decoded videos, -1..1, with their graph.
            truth_BCTHW: Recorded ones, -1..1.

        Returns:
            "loss" to be minimised, and its parts "error" and "critic".
        """
        loss = error
        say = min(1.0, max(0.0, (step - SILENT_STEPS) / GROWING_STEPS))
        if say:
            self._critic.requires_grad_(False)
            opinion = -self._critic(output_BCTHW).mean()
            self._critic.requires_grad_(True)
            loss = loss + say * self._weight * self._scale(error, opinion) * opinion
        relu = nn.functional.relu
        critic_loss = (
            relu(1 - self._critic(truth_BCTHW)).mean()
            + relu(1 + self._critic(output_BCTHW.detach())).mean()
        )
        return {"loss": loss + critic_loss, "error": error, "critic": critic_loss}

    def _scale(self, error: torch.Tensor, opinion: torch.Tensor) -> torch.Tensor:
        lengths = [
            torch.autograd.grad(value, self._last_weight, retain_graph=True)[0].norm()
            for value in (error, opinion)
        ]
        return lengths[0] / (lengths[1] + MIN_GRADIENT)
