"""Put a trained mini model where the package ships it: `python -m training.export --run RUN`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX

from tavid_core.adapter_manifest import MANIFEST_FILE, read_manifest, write_manifest
from tavid_core.model_card import ModelCard, write_model_card
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.weights_file import hash_folder
from training.mini import MiniConfig

ASSETS = Path(__file__).parent.parent / "tavid_core" / "assets"
MAX_BYTES = 40_000_000


def export_base(run: Path, assets: Path, card: ModelCard) -> None:
    """Write the base model as a float16 diffusers folder with its card.

    Args:
        run: Holds base/ and the newest vae/.
        assets: The package's asset folder.
        card: How the model wants to be used.
    """
    pipeline = TargetAwarePipeline.from_pretrained(
        run / "base", dtype=torch.float16, use_safetensors=True
    )
    # The decoder may have been trained on while the transformer was.
    pipeline.vae = AutoencoderKLCogVideoX.from_pretrained(run / "vae", dtype=torch.float16)
    shutil.rmtree(assets / "mini", ignore_errors=True)
    pipeline.save_pretrained(assets / "mini", safe_serialization=True)
    write_model_card(assets / "mini", card)
    _forget_paths(assets / "mini")


def _forget_paths(folder: Path) -> None:
    """Take out of the configurations where the parts lay on this machine."""
    for path in sorted(folder.rglob("*.json")):
        fields = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(fields, dict) and fields.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def export_adapter(run: Path, assets: Path, card: ModelCard) -> None:
    """Copy the adapter and tie it to the base beside it, whose hash float16 has changed.

    Args:
        run: Holds adapter/.
        assets: The package's asset folder, with the exported base.
        card: Of the base.
    """
    folder = assets / "mini_adapter"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run / "adapter", folder)
    manifest = dataclasses.replace(
        read_manifest(folder / MANIFEST_FILE),
        base_model=card.name,
        base_model_sha256=hash_folder(assets / "mini"),
    )
    write_manifest(folder / MANIFEST_FILE, manifest)


def main(arguments: list[str] | None = None) -> int:
    """Export base and adapter, and check the size.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 1 if the weights are too large to ship.
    """
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="holds base/, vae/ and adapter/")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps of the model card")
    parser.add_argument(
        "--guidance",
        type=float,
        default=1.5,
        help="towards text and masks, of the model card; 1 halves the time [1.5]",
    )
    parser.add_argument("--assets", type=Path, default=ASSETS)
    options = parser.parse_args(arguments)
    config = MiniConfig()
    card = ModelCard(
        name="tavid-mini",
        actor="person",
        fps=config.fps,
        num_frames=config.num_frames,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        use_dynamic_guidance=False,
        guide_by_mask=True,
        attention_blocks=(1, 2, 3, 4),
    )
    options.assets.mkdir(parents=True, exist_ok=True)
    export_base(options.run, options.assets, card)
    if (options.run / "adapter").is_dir():
        export_adapter(options.run, options.assets, card)
    size = sum(f.stat().st_size for f in options.assets.rglob("*") if f.is_file())
    print(json.dumps({"assets": str(options.assets), "bytes": size}))
    return 0 if size <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
