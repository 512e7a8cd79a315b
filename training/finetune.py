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

import torch

from tavid_core.errors import TavidError
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.prompt import find_slot_indices
from training.adapter_model import prepare_transformer, write_adapter
from training.cache import load_or_build_cache
from training.clip_check import ClipDemands, check_clips
from training.device import pick_device
from training.finetune_config import SETTINGS, FinetuneConfig, with_settings
from training.finetune_loss import FinetuneLoss
from training.recipes import RECIPES
from training.trainer import apply_weights, run_loop

__all__ = ["FinetuneJob", "finetune", "main"]


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
    pipeline = TargetAwarePipeline.from_pretrained(job.base, use_safetensors=True)
    report = check_clips(job.clips, _demands(pipeline, config), job.limit)
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


def _demands(pipeline: TargetAwarePipeline, config: FinetuneConfig) -> ClipDemands:
    length = pipeline.transformer.config.max_text_seq_length
    return ClipDemands(
        num_frames=pipeline.transformer.config.sample_frames,
        size_hw=pipeline.size_hw,
        num_slots=config.prompt.num_slots,
        check_caption=lambda text: find_slot_indices(
            pipeline.tokenizer, text, config.prompt, length
        ),
    )


def main(arguments: list[str] | None = None) -> int:
    """Pick a recipe, change it as told, train.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m training.finetune", description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--base", type=Path, required=True, help="diffusers folder of the base")
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="adapter folder to write")
    parser.add_argument("--limit", type=int, help="use only the first clips")
    parser.add_argument("--cache", type=Path, help="latent cache; default beside the adapter")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--skip-bad", action="store_true", help="go on without unusable clips")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change the recipe: " + ", ".join(SETTINGS),
    )
    options = parser.parse_args(arguments)
    try:
        config = with_settings(RECIPES[options.recipe](), options.settings)
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


if __name__ == "__main__":
    sys.exit(main())
