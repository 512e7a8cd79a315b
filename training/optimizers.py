"""The optimizer of a run: AdamW, also with states of 8 bits, or Muon for the hidden matrices."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from tavid_core.errors import ConfigError, MissingExtraError
from training.muon import ExactMuon

__all__ = ["OPTIMIZERS", "OptimizerGroup", "build_optimizer", "check_optimizer", "demand_optimizer"]

OPTIMIZERS = ("adamw", "muon", "adamw8bit")

# Muon equalises the singular values of an update, which is meant for matrices between hidden
# features; tables looked up by index, also the trained rows of one (`TrainedTokens`), and the
# layer that writes the output stay with AdamW.
NOT_HIDDEN = ("shared.", "embed_tokens.", "rows_SD", "proj_out.", "relative_attention_bias.")


class OptimizerGroup:
    """Several optimizers that step as one.

    Args:
        optimizers: Each over parameters of its own, in a fixed order.
    """

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers

    def set_learning_rate(self, learning_rate: float) -> None:
        """Give every parameter group this rate.

        Args:
            learning_rate: Positive.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update all parameters."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, object]:
        """Give the state of all, loadable with `weights_only=True`.

        Returns:
            Position ("0", "1", ...) to state.
        """
        return {str(i): optimizer.state_dict() for i, optimizer in enumerate(self.optimizers)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what `state_dict` gave.

        Args:
            state: Of a group over the same parameters.

        Raises:
            ConfigError: If it belongs to another kind of optimizer.
        """
        if set(state) != {str(i) for i in range(len(self.optimizers))}:
            raise ConfigError(
                f"checkpoint must hold the state of {len(self.optimizers)} optimizers, got "
                f"{len(state)}. Resume with the optimizer that the run began with."
            )
        for index, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(state[str(index)])


def check_optimizer(name: str) -> None:
    """Refuse an optimizer that is not known.

    Args:
        name: See `build_optimizer`.

    Raises:
        ConfigError: If the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise ConfigError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name}. Correct the recipe."
        )


def demand_optimizer(name: str) -> None:
    """Refuse an optimizer that cannot be built here, before anything costly is done for it.

    Args:
        name: A known one.

    Raises:
        MissingExtraError: If bitsandbytes is needed and missing.
    """
    if name == "adamw8bit":
        _import_adamw8bit()


def build_optimizer(
    name: str, parameters: Mapping[str, nn.Parameter], learning_rate: float, weight_decay: float
) -> OptimizerGroup:
    """Build the optimizer of a run.

    Args:
        name: "adamw", "adamw8bit" (bitsandbytes; a quarter of the memory of its states), or "muon"
            (needs fewer steps when a model is trained from scratch).
        parameters: What to train, by name.
        learning_rate: For both; Muon's update is scaled to AdamW's size.
        weight_decay: For both.

    Returns:
        The optimizers as one.

    Raises:
        ConfigError: If the name is unknown.
        MissingExtraError: If bitsandbytes is needed and missing.

    References:
        Jordan et al. 2024, Muon; Liu et al. 2025 (arXiv 2502.16982) for the update's scale.
    """
    check_optimizer(name)
    hidden = {
        key: parameter
        for key, parameter in parameters.items()
        if name == "muon" and parameter.ndim == 2 and not any(part in key for part in NOT_HIDDEN)
    }
    rest = [parameter for key, parameter in parameters.items() if key not in hidden]
    optimizers: list[torch.optim.Optimizer] = []
    if rest:
        adamw = _import_adamw8bit() if name == "adamw8bit" else torch.optim.AdamW
        optimizers.append(adamw(rest, lr=learning_rate, weight_decay=weight_decay))
    if hidden:
        optimizers.append(
            ExactMuon(
                list(hidden.values()),
                lr=learning_rate,
                weight_decay=weight_decay,
            )
        )
    return OptimizerGroup(optimizers)


def _import_adamw8bit() -> type[torch.optim.Optimizer]:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise MissingExtraError.of("bitsandbytes", "bnb") from error
    return AdamW8bit
