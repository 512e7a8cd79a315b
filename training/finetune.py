"""Fine-tune an adapter: `python -m training.finetune mini --base BASE --clips CLIPS --out ADAPTER`.

The base stays frozen; LoRA on the attention, the widened patch projection and nothing else is
trained, on the diffusion loss and the attention loss of the slot token.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tavid_core.errors import ConfigError, TavidError
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.prompt import find_slot_indices
from training.adapter_model import prepare_transformer, write_adapter
from training.cache import load_or_build_cache
from training.clip_check import ClipDemands, check_clips
from training.device import pick_device
from training.dry_run import estimate, read_transformer_config
from training.finetune_config import SETTINGS, FinetuneConfig, with_settings
from training.finetune_loss import FinetuneLoss
from training.recipes import RECIPES
from training.trainer import apply_weights, run_loop

__all__ = ["FinetuneJob", "finetune", "main"]

EXAMPLE = """\
examples:
  python -m training.finetune cogvideox_5b_paper --dry-run
  python -m training.finetune mini --base tavid_core/assets/mini --clips runs/data/train \\
      --out runs/adapter --set steps=700 --set attention_weight=0.1
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """Where a run reads and writes.

    Args:
        base: Diffusers folder of the base model.
        clips: Clip folder with masks.
        out: Adapter folder to write; checkpoints go beside it, into `<out>_run`.
        cache_file: Where latents are cached; None = beside the adapter.
        limit: Use only the first clips.
        skip_bad: Go on without clips that cannot be used.
        device: Where to train.
    """

    base: Path
    clips: Path
    out: Path
    cache_file: Path | None = None
    limit: int | None = None
    skip_bad: bool = False
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))


def finetune(config: FinetuneConfig, job: FinetuneJob) -> None:
    """Train an adapter and write its folder.

    Args:
        config: Of the run.
        job: Where it reads and writes.

    Raises:
        InputError: If clips cannot be used, all of them named; or the latent cache is of others.
        ConfigError: If the run does not fit the model.
        NonFiniteError: If the loss is not finite.
    """
    torch.manual_seed(config.loop.seed)
    # Stored in half precision, the text encoder would stay so and not mix with the rest.
    pipeline = TargetAwarePipeline.from_pretrained(
        job.base, torch_dtype=torch.float32, use_safetensors=True
    )
    sizes = pipeline.transformer.config
    demands = _demands(pipeline.tokenizer, pipeline.size_hw, sizes, config)
    report = check_clips(job.clips, demands, job.limit)
    records = report.require_good(skip_bad=job.skip_bad)
    if report.problems:
        print(f"{len(report.problems)} problems, {len(records)} clips are left", file=sys.stderr)
    prepare_transformer(pipeline.transformer, config)
    for module in (pipeline.text_encoder, pipeline.vae):
        module.requires_grad_(False).eval()
    pipeline.to(job.device)
    cache = load_or_build_cache(
        job.clips,
        pipeline.vae,
        job.cache_file or job.out.with_name(job.out.name + "_latents.safetensors"),
        job.limit,
        records=records if report.problems else None,
        num_noisy_images=config.num_noisy_images,
        num_slots=config.prompt.num_slots,
    )
    modules = {"transformer": pipeline.transformer}
    run_folder = job.out.with_name(job.out.name + "_run")
    loss = FinetuneLoss(pipeline, cache, config)
    apply_weights(modules, run_loop(config.loop, run_folder, modules, loss, title="adapter"))
    write_adapter(job.out, pipeline, config, job.base, job.clips)


def _demands(
    tokenizer: PreTrainedTokenizerBase | None,
    size_hw: tuple[int, int],
    sizes: Any,
    config: FinetuneConfig,
) -> ClipDemands:
    length = sizes.max_text_seq_length

    def check_caption(text: str) -> None:
        # Without a tokenizer nobody knows how long a caption is.
        if tokenizer is not None:
            find_slot_indices(tokenizer, text, config.prompt, length)

    return ClipDemands(
        num_frames=sizes.sample_frames,
        size_hw=size_hw,
        num_slots=config.prompt.num_slots,
        check_caption=check_caption,
    )


def main(arguments: list[str] | None = None) -> int:
    """Pick a recipe, change it as told, train.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable.
    """
    options = _make_parser().parse_args(arguments)
    try:
        config = with_settings(RECIPES[options.recipe](), options.settings)
        if options.dry_run:
            return _rehearse(config, options)
        for name in ("base", "clips", "out"):
            if getattr(options, name) is None:
                raise ConfigError(f"{name} must be given, got none. Add --{name}, or --dry-run.")
        job = FinetuneJob(
            base=options.base,
            clips=options.clips,
            out=options.out,
            cache_file=options.cache,
            limit=options.limit,
            skip_bad=options.skip_bad,
            device=pick_device(options.device),
        )
        finetune(config, job)
    except TavidError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"adapter": str(options.out), "steps": config.loop.num_steps}))
    return 0


def _rehearse(config: FinetuneConfig, options: argparse.Namespace) -> int:
    """Say what the run would train, need and cost, and what is wrong with its clips."""
    sizes = read_transformer_config(options.base, options.recipe)
    print(estimate(config, sizes).describe())
    if options.clips is None:
        return 0
    tokenizer = None
    if options.base is not None:
        tokenizer = AutoTokenizer.from_pretrained(options.base / "tokenizer", local_files_only=True)
    # The VAE of every CogVideoX halves the sides three times, the mini model's twice.
    factor = 8 if options.base is None else _spatial_factor(options.base)
    size_hw = (sizes["sample_height"] * factor, sizes["sample_width"] * factor)
    demands = _demands(tokenizer, size_hw, SimpleNamespace(**sizes), config)
    report = check_clips(options.clips, demands, options.limit)
    print(f"clips           {len(report.records)} usable, {len(report.problems)} problems")
    for problem in report.problems:
        print(f"  {problem}")
    return 2 if report.problems and not options.skip_bad else 0


def _spatial_factor(base: Path) -> int:
    fields = json.loads((base / "vae" / "config.json").read_text(encoding="utf-8"))
    return 2 ** (len(fields["block_out_channels"]) - 1)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.finetune",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recipe", choices=sorted(RECIPES))
    add("--base", type=Path, metavar="DIR", help="diffusers folder of the base model")
    add("--clips", type=Path, metavar="DIR", help="clip folder, see docs/formats.md")
    add("--out", type=Path, metavar="DIR", help="adapter folder to write")
    add("--dry-run", action="store_true", help="say what it would train, need and cost; no weights")
    add("--skip-bad", action="store_true", help="go on without unusable clips")
    add("--limit", type=int, metavar="N", help="use only the first clips")
    add("--cache", type=Path, metavar="FILE", help="latent cache [beside the adapter]")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change the recipe: " + ", ".join(SETTINGS),
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
