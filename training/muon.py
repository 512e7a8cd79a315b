"""Muon whose orthogonalisation keeps the precision of the weights.

torch's own turns every update to bfloat16 first. Processors without instructions for that type
multiply such matrices some twenty times more slowly than float32, which made the optimizer two
thirds of a pretraining step of the mini model.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

__all__ = ["ExactMuon"]


class ExactMuon(torch.optim.Muon):
    """torch's Muon, with its arguments, state and update, in the precision of the gradients.

    The update's scale is always that of AdamW ("match_rms_adamw").

    References:
        Jordan et al. 2024, Muon; Liu et al. 2025 (arXiv 2502.16982), section 2.2, for the scale.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all matrices once.

        Args:
            closure: Computes the loss anew, or None.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.nn.Parameter, group: dict) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(average, group["momentum"]) if group["nesterov"] else average
        direction = _orthogonalize(
            update, group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(direction, alpha=-0.2 * math.sqrt(max(parameter.shape)) * group["lr"])


def _orthogonalize(
    update: torch.Tensor, coefficients: tuple[float, float, float], num_steps: int, eps: float
) -> torch.Tensor:
    """Bring the singular values near 1 by Newton-Schulz steps, the short side first."""
    is_tall = update.size(0) > update.size(1)
    matrix = update.T if is_tall else update
    matrix = matrix / matrix.norm().clamp(min=eps)
    first, third, fifth = coefficients
    for _ in range(num_steps):
        gram = matrix @ matrix.T
        polynomial = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        matrix = torch.addmm(matrix, polynomial, matrix, beta=first)
    return matrix.T if is_tall else matrix
