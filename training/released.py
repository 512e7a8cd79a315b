"""Write an adapter in the layout of the authors' release: `python -m training.released A --out B`.

Their folder has no manifest: their code fixes the sentence and the token, and uses the LoRA at
weight 1. So only an adapter of that prompt fits, and its scale alpha / rank is multiplied into the
LoRA. `--adapter B` loads the folder here too, and imagines the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import safetensors.torch
import torch

from tavid_core.adapter import LORA_FILE, PATCH_FILE, RELEASED_PATCH_FILE
from tavid_core.adapter_manifest import MANIFEST_FILE, read_manifest
from tavid_core.config import PromptConfig
from tavid_core.errors import ConfigError, StorageError, TavidError
from tavid_core.weights_file import read_tensors

__all__ = ["export_released", "main"]


def export_released(adapter: Path, out: Path) -> None:
    """Write a folder that the authors' code reads.

    Args:
        adapter: Folder of an adapter.
        out: Folder to write.

    Raises:
        WeightsError: If the adapter is incomplete or damaged.
        ConfigError: If the layout cannot say what the adapter needs, or `out` is the adapter.
        StorageError: If it cannot be written.
    """
    manifest = read_manifest(adapter / MANIFEST_FILE)
    if manifest.prompt != PromptConfig():
        raise ConfigError(
            f"adapter must have the released prompt {PromptConfig()} for this layout, got "
            f"{manifest.prompt}. Keep the folder as it is."
        )
    if (out / MANIFEST_FILE).exists():
        raise ConfigError(f"out must hold no other adapter, got {out}. Name a new folder.")
    scale = manifest.lora_alpha / manifest.lora_rank
    lora = {
        # In float32, for scales that are no power of two would be rounded.
        name: (tensor.float() * scale if ".lora_B." in name else tensor.float()).contiguous()
        for name, tensor in read_tensors(adapter / LORA_FILE).items()
    }
    patch = read_tensors(adapter / PATCH_FILE)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / LORA_FILE).write_bytes(safetensors.torch.save(lora))
        torch.save(patch, out / RELEASED_PATCH_FILE)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{out} must be writable, got: {error}. Free some space.") from error


def main(arguments: list[str] | None = None) -> int:
    """Export an adapter.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the adapter cannot be exported.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.released",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("adapter", type=Path, help="folder of an adapter")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args(arguments)
    try:
        export_released(options.adapter, options.out)
    except TavidError as error:
        print(f"released: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"released": str(options.out)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
