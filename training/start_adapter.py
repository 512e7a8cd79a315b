"""An adapter to go on with, instead of beginning at zero."""

from __future__ import annotations

from pathlib import Path

from tavid_core.adapter import load_adapter
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import ConfigError
from tavid_core.pipeline import TargetAwarePipeline
from training.adapter_model import LORA_TARGETS
from training.finetune_config import FinetuneConfig

__all__ = ["load_start", "note_other_base"]


def load_start(
    pipeline: TargetAwarePipeline, folder: Path, config: FinetuneConfig
) -> AdapterManifest:
    """Put a trained adapter on the base, in place, before it is prepared for training.

    Args:
        pipeline: The base model.
        folder: The adapter's folder.
        config: Of the run; has to be of the adapter's shape.

    Returns:
        What the adapter is.

    Raises:
        WeightsError: If a file of it is missing, damaged, or made for another model.
        ConfigError: If the run would train an adapter of another shape; names what differs.
    """
    manifest = load_adapter(pipeline, folder)
    wanted = {
        "slot_words": (manifest.prompt.slot_words, config.prompt.slot_words),
        "sentence": (manifest.prompt.sentence, config.prompt.sentence),
        "sentence_position": (manifest.prompt.sentence_position, config.prompt.sentence_position),
        "added_tokens": (manifest.prompt.added_tokens, config.prompt.added_tokens),
        "lora_rank": (manifest.lora_rank, config.lora_rank),
        "lora_alpha": (manifest.lora_alpha, config.lora_alpha),
        "lora_targets": (sorted(manifest.lora_targets), sorted(LORA_TARGETS)),
    }
    differing = [
        f"{name} {there} there, {here} here"
        for name, (there, here) in wanted.items()
        if there != here
    ]
    if differing:
        raise ConfigError(
            f"start_from must be an adapter of this run's shape, got {folder} with "
            f"{'; '.join(differing)}. Set them with --set as they are there."
        )
    return manifest


def note_other_base(start: AdapterManifest, base_sha256: str) -> str | None:
    """Say that an adapter to go on with comes from another base.

    It is told, not enforced: a base saved again in another precision has another hash.

    Args:
        start: What `load_start` returned.
        base_sha256: `hash_folder` of the run's base.

    Returns:
        The note, or None if the adapter is of this base or does not say which it is of.
    """
    if start.base_model_sha256 in ("", base_sha256):
        return None
    return (
        f"start_from was trained on another base ({start.base_model}, "
        f"{start.base_model_sha256[:12]}), and its patch projection replaces this one's. If the "
        "base was trained on since, move the adapter first: python -m training.move_adapter --help"
    )
