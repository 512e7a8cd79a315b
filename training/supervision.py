"""What the attention loss looks at: which blocks, which way, and how a map is brought to 0..1.

Shapes: B batch, S slots, N first-frame tokens.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch.nn import functional

from tavid_core.errors import ConfigError

__all__ = ["BLOCK_CHOICES", "MAP_NORMALIZATIONS", "SupervisionConfig", "attention_loss"]

BLOCK_CHOICES = ("random", "fixed", "uniform", "all")
MAP_NORMALIZATIONS = ("sample_min_max", "batch_min_max", "none")
DIRECTIONS = ("v2t", "t2v")
PAPER_BLOCKS = tuple(range(5, 24))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisionConfig:
    """How the attention of the slot tokens is supervised; the defaults are the paper's.

    Args:
        weight: Lambda of the attention loss; 0 leaves it out.
        blocks: Blocks that may be supervised, 0-based; for the choices "random" and "fixed".
        choice: Which are, in a step: "random" draws `num_blocks` of `blocks`, "fixed" takes all
            of `blocks` (the released code: 5, 8, 11, 14, 17, 20, 23), "uniform" takes
            `num_blocks` spread evenly over the whole model, "all" takes every block of it.
        num_blocks: How many, for "random" and "uniform".
        direction: "v2t": queries are the tokens of the first latent frame, the key is the slot
            token; "t2v": the other way round.
        normalization: "sample_min_max" per map, "batch_min_max" over the micro-batch as in the
            released code, "none" as in the paper's formula, whose map is of the order of one
            over the number of keys.

    Raises:
        ConfigError: If a field is unusable.

    References:
        arXiv 2503.18950, selective cross-attention loss and its ablations.
    """

    weight: float = 0.1
    blocks: tuple[int, ...] = PAPER_BLOCKS
    choice: str = "random"
    num_blocks: int = 7
    direction: str = "v2t"
    normalization: str = "sample_min_max"

    def __post_init__(self) -> None:
        """Check ranges and names."""
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ConfigError(
                f"attention_weight must be 0 or more, got {self.weight}. The paper uses 0.1."
            )
        for name, value, known in (
            ("block_choice", self.choice, BLOCK_CHOICES),
            ("attention_direction", self.direction, DIRECTIONS),
            ("map_normalization", self.normalization, MAP_NORMALIZATIONS),
        ):
            if value not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}, got {value!r}. Use {known[0]!r}."
                )
        if not self.blocks or min(self.blocks) < 0 or len(set(self.blocks)) != len(self.blocks):
            raise ConfigError(
                f"attention_blocks must be different blocks of 0 or more, got {self.blocks}. "
                "The paper's are 5 to 23."
            )
        if self.choice == "random" and not 1 <= self.num_blocks <= len(self.blocks):
            raise ConfigError(
                f"num_blocks_per_step must be in 1..{len(self.blocks)}, got "
                f"{self.num_blocks}. The paper draws 7 of 19."
            )

    def check(self, num_model_blocks: int) -> None:
        """Refuse blocks that a model does not have.

        Args:
            num_model_blocks: Blocks of the transformer.

        Raises:
            ConfigError: If there are fewer than asked for.
        """
        if self.choice in ("random", "fixed") and max(self.blocks) >= num_model_blocks:
            raise ConfigError(
                f"attention_blocks must be below the model's {num_model_blocks} blocks, got "
                f"{max(self.blocks)}. Choose others: python -m training.blocks."
            )
        if self.choice == "uniform" and not 1 <= self.num_blocks <= num_model_blocks:
            raise ConfigError(
                f"num_blocks_per_step must be in 1..{num_model_blocks}, got {self.num_blocks}. "
                "Choose fewer."
            )

    def candidates(self, num_model_blocks: int) -> tuple[int, ...]:
        """List every block that some step may supervise.

        Args:
            num_model_blocks: Blocks of the transformer.

        Returns:
            Sorted indices.
        """
        if self.choice == "all":
            return tuple(range(num_model_blocks))
        if self.choice == "uniform":
            stride = num_model_blocks / self.num_blocks
            return tuple(int((place + 0.5) * stride) for place in range(self.num_blocks))
        return tuple(sorted(self.blocks))

    def draw(self, num_model_blocks: int, generator: torch.Generator) -> list[int]:
        """Choose the blocks of one step.

        Args:
            num_model_blocks: Blocks of the transformer.
            generator: Of the step; only "random" draws from it.

        Returns:
            Indices.
        """
        candidates = self.candidates(num_model_blocks)
        if self.choice != "random":
            return list(candidates)
        order = torch.randperm(len(candidates), generator=generator)
        return [candidates[i] for i in order[: self.num_blocks].tolist()]


def attention_loss(
    map_BSN: torch.Tensor, mask_BSN: torch.Tensor, normalization: str = "sample_min_max"
) -> torch.Tensor:
    """Pull the maps of the slot tokens towards their masks.

    Args:
        map_BSN: Mean attention over heads and blocks, one value per first-frame token; (B, N) for
            one slot will do.
        mask_BSN: The masks on the same grid, 0..1, of the same shape.
        normalization: See `SupervisionConfig`.

    Returns:
        A scalar, the mean squared error.

    References:
        arXiv 2503.18950, selective cross-attention loss. It compares the raw softmax weights with
        a 0/1 mask; the default here brings each map to 0..1 first, the released code does so
        over the batch.
    """
    if normalization == "none":
        return functional.mse_loss(map_BSN, mask_BSN)
    axes = tuple(range(map_BSN.ndim)) if normalization == "batch_min_max" else (-1,)
    low = map_BSN.amin(dim=axes, keepdim=True)
    high = map_BSN.amax(dim=axes, keepdim=True)
    return functional.mse_loss((map_BSN - low) / (high - low).clamp_min(1e-8), mask_BSN)
