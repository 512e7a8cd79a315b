"""The manifest of an adapter folder: what was trained, on what, and how it is to be used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError, WeightsError
from tavid_core.json_fields import read_json_object, typed_fields

__all__ = ["MANIFEST_FILE", "AdapterManifest", "read_manifest", "write_manifest"]

MANIFEST_FILE = "tavid_adapter.json"
FORMAT_VERSION = 1
PAPER_BLOCKS = (5, 8, 11, 14, 17, 20, 23)
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
NORMALIZATIONS = ("none", "batch_min_max", "sample_min_max")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdapterManifest:
    """What `tavid_adapter.json` says.

    The defaults describe the authors' released adapter, whose folder has no manifest.

    Args:
        base_model: Name of the model it was trained on, for people.
        base_model_sha256: `hash_folder` of that model, or "" if unknown.
        prompt: Slot words, their sentence and where it stands.
        num_mask_slots: Mask channels; equal to the number of slot words.
        lora_rank: Rank of the LoRA.
        lora_alpha: Numerator of the LoRA's scale alpha / rank.
        lora_targets: Names of the layers with LoRA.
        attention_blocks: Blocks whose attention was trained on, and is shown with a plan.
        map_normalization: What was done to the map before the loss: "none", "batch_min_max" (the
            released code) or "sample_min_max".
        attention_direction: "v2t" or "t2v".
        training_step: Optimizer steps done.
        dataset_sha256: Of the training data, or "" if unknown.
        format_version: Of this folder layout.

    Raises:
        ConfigError: If a field is unusable.
    """

    base_model: str = "THUDM/CogVideoX-5b-I2V"
    base_model_sha256: str = ""
    prompt: PromptConfig = dataclasses.field(default_factory=PromptConfig)
    num_mask_slots: int = 1
    lora_rank: int = 128
    lora_alpha: float = 128.0
    lora_targets: tuple[str, ...] = LORA_TARGETS
    attention_blocks: tuple[int, ...] = PAPER_BLOCKS
    map_normalization: str = "batch_min_max"
    attention_direction: str = "v2t"
    training_step: int = 0
    dataset_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.format_version != FORMAT_VERSION:
            raise ConfigError(
                f"format_version must be {FORMAT_VERSION}, got {self.format_version}. "
                "Load the folder with the tavid that wrote it."
            )
        if self.num_mask_slots != self.prompt.num_slots:
            raise ConfigError(
                f"num_mask_slots must equal the number of slot words ({self.prompt.num_slots}), "
                f"got {self.num_mask_slots}. Each slot has one channel and one token."
            )
        if self.lora_rank < 1 or not 0.0 < self.lora_alpha < float("inf"):
            raise ConfigError(
                "lora_rank and lora_alpha must be positive, got "
                f"{self.lora_rank} and {self.lora_alpha}. The paper uses 128 and 64."
            )
        if not self.lora_targets:
            raise ConfigError(f"lora_targets must name layers, got (). Try {LORA_TARGETS}.")
        if any(block < 0 for block in self.attention_blocks):
            raise ConfigError(
                f"attention_blocks must be 0 or more, got {self.attention_blocks}. "
                f"The paper's are {PAPER_BLOCKS}."
            )
        if self.map_normalization not in NORMALIZATIONS:
            raise ConfigError(
                f"map_normalization must be one of {NORMALIZATIONS}, got "
                f"{self.map_normalization!r}. Use 'sample_min_max'."
            )
        if self.attention_direction not in ("v2t", "t2v"):
            raise ConfigError(
                "attention_direction must be 'v2t' or 't2v', got "
                f"{self.attention_direction!r}. Use 'v2t'."
            )


def read_manifest(path: Path) -> AdapterManifest:
    """Read a manifest.

    Args:
        path: The JSON file.

    Returns:
        The manifest.

    Raises:
        WeightsError: If the file is no valid manifest; the message names it.
    """
    try:
        fields = read_json_object(path)
        prompt = PromptConfig(**typed_fields(PromptConfig, fields.pop("prompt", {})))
        return AdapterManifest(prompt=prompt, **typed_fields(AdapterManifest, fields))
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WeightsError(
            f"{path} must be an adapter manifest, got: {error} Save the adapter again."
        ) from error


def write_manifest(path: Path, manifest: AdapterManifest) -> None:
    """Write a manifest.

    Args:
        path: The JSON file to write.
        manifest: What to say.
    """
    text = json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
