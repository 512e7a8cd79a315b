"""What one call of `training.ablate` trains and measures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel

from tavid_core.errors import ConfigError
from tavid_core.weights_file import hash_folder
from training.finetune_config import FinetuneConfig, with_settings
from training.recipes import RECIPES
from training.rows import Row

__all__ = ["SLOPPY_SUFFIX", "Ablation"]

# What the log adds to the name of scenes that were shown with sloppy masks.
SLOPPY_SUFFIX = "_sloppy"

# Of the SHA-256 that the log says of which base model its rows are.
NUM_BASE_DIGITS = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation:
    """What one call trains and measures.

    Args:
        base: Diffusers folder of the base model.
        clips: Training clips; a row takes its first ones.
        scenes: Held-out clip folders by the name that tables give them.
        validation: Scenes on which the strength of the modulation is chosen.
        out: Where adapters, checkpoints and latents go.
        log: JSON lines that are read and appended to; on these scenes of this base model only.
        rows: Which rows.
        seeds: Of the training.
        steps: At which steps a trained row is measured; the last is where it ends.
        num_scenes: Scenes per measurement at the last step.
        num_curve_scenes: Scenes per measurement before that.
        batch_size: Scenes imagined at a time; changes no result but by rounding.
        recipe: What all rows are trained by, a name of `RECIPES`; it must fit the base's depth.
        settings: Changes of the recipe for all rows.
        sloppy_masks: Whether the model is shown the scenes' masks as people give them; the log
            then names these scenes with `SLOPPY_SUFFIX`.
        device: Where rows are trained and measured.

    Raises:
        ConfigError: If steps are not growing, or nothing is to be measured.
    """

    base: Path
    clips: Path
    scenes: Mapping[str, Path]
    validation: Path | None
    out: Path
    log: Path
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = (0,)
    steps: tuple[int, ...] = (25, 50, 100, 200, 400, 700)
    num_scenes: int = 200
    num_curve_scenes: int = 60
    batch_size: int = 4
    recipe: str = "mini"
    settings: tuple[str, ...] = ()
    sloppy_masks: bool = False
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Check the steps and the scenes."""
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise ConfigError(f"steps must grow from 1 on, got {self.steps}. Try 25 100 400.")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, got {self.batch_size}. Try 4.")
        if not self.scenes or not self.rows or not self.seeds:
            raise ConfigError("scenes, rows and seeds must not be empty, got none. Name some.")

    @functools.cached_property
    def base_digits(self) -> str:
        """First digits of the SHA-256 of the base model, read once: 22 GB take minutes."""
        return hash_folder(self.base)[:NUM_BASE_DIGITS]

    def config_of(self, row: Row, *more: str) -> FinetuneConfig:
        """Give what a row is trained by.

        Args:
            row: That is trained.
            more: Further settings, "key=value".

        Returns:
            The recipe with all settings.

        Raises:
            ConfigError: If a setting is unusable.
        """
        return with_settings(RECIPES[self.recipe](), [*self.settings, *row.settings, *more])

    def check_recipe(self) -> None:
        """Refuse blocks that were chosen on a model of another depth.

        Raises:
            ConfigError: If a row supervises blocks that the base lacks, or its first half only.
        """
        sizes = CogVideoXTransformer3DModel.load_config(self.base, subfolder="transformer")
        for row in self.rows:
            if row.kind != "adapter":
                continue
            supervision = self.config_of(row).supervision
            supervision.check(sizes["num_layers"])
            is_named = supervision.choice in ("random", "fixed") and supervision.weight > 0
            if is_named and 2 * (max(supervision.blocks) + 1) < sizes["num_layers"]:
                raise ConfigError(
                    f"attention_blocks of {row.name} must be of a model as deep as the base, "
                    f"which has {sizes['num_layers']} blocks, got {supervision.blocks} by recipe "
                    f"{self.recipe}. Give another --recipe or leave the row out."
                )
