"""Fine-tune an adapter: `python -m training.finetune mini --base BASE --clips CLIPS --out ADAPTER`.

The base stays frozen; LoRA on the attention, the widened patch projection and nothing else is
trained, on the diffusion loss and the attention loss of the slot token.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import SimpleNamespace

from tavid_core.errors import CanceledError, ConfigError, TavidError
from tavid_core.model_folder import find_adapter_folder, find_model_folder
from training.cache_size import CacheSize
from training.clip_check import ClipReport, check_clips
from training.device import pick_device
from training.dry_run import (
    estimate,
    read_spatial_factor,
    read_tokenizer,
    read_transformer_config,
)
from training.engine import Engine, split_batch
from training.finetune_config import SETTINGS, FinetuneConfig, with_settings
from training.finetune_job import FinetuneJob, FinetuneResult
from training.finetune_run import FinetuneRun, demands_of
from training.recipes import RECIPES
from training.run_folder import RESUME_MODES

__all__ = ["FinetuneJob", "FinetuneResult", "finetune", "main"]

# What a shell reports for a program that SIGTERM ended.
STOPPED = 143
EXAMPLE = """\
examples:
  python -m training.finetune cogvideox_5b_paper --dry-run
  python -m training.finetune mini --base mini --clips runs/data/train \\
      --out runs/adapter --set steps=700 --set attention_weight=0.1
  python -m training.finetune mini ... --validation-clips runs/data/held_out --validate-every 100
  python -m training.finetune mini ... --start-from default --set steps=100
  python -m training.finetune mini ... --set 'slot_words=[TGT]' --set added_tokens=true \\
      --set train_tokens=true
  accelerate launch --config_file config/accelerate/ddp.yaml -m training.finetune mini ...

A run that was killed, or stopped by SIGTERM or Ctrl-C, goes on from its newest good checkpoint
when the same command is given again. More: docs/training.md.
"""


def finetune(config: FinetuneConfig, job: FinetuneJob) -> FinetuneResult:
    """Train an adapter and write its folder.

    Started by `accelerate launch`, every process calls this; see `FinetuneResult` for what differs.

    Args:
        config: Of the run.
        job: Where it reads and writes.

    Returns:
        What came out.

    Raises:
        InputError: If clips cannot be used, all of them named; or a cache is of others.
        ConfigError: If the run does not fit the model, or the run folder is another run's.
        NonFiniteError: If the loss is not finite.
        StorageError: If the disk is full; the last checkpoint is intact.
        CanceledError: If a signal asked to stop; a checkpoint was saved.
    """
    engine = Engine.start(job.device, trackers=job.trackers, folder=job.run_folder)
    try:
        return FinetuneRun(config, job, engine).train()
    finally:
        engine.close()


def main(arguments: list[str] | None = None) -> int:
    """Pick a recipe, change it as told, train.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable, 143 a signal asked to stop.
    """
    options = _make_parser().parse_args(arguments)
    try:
        config = with_settings(RECIPES[options.recipe](), options.settings)
        if options.base is not None:
            options.start_from = find_adapter_folder(options.base, options.start_from)
            options.base = find_model_folder(options.base, has_weights=not options.dry_run)
        if options.dry_run:
            return _rehearse(config, options)
        for name in ("base", "clips", "out"):
            if getattr(options, name) is None:
                raise ConfigError(f"{name} must be given, got none. Add --{name}, or --dry-run.")
        result = finetune(config, _read_job(options))
    except CanceledError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return STOPPED
    except TavidError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2
    if result.process_index == 0:
        # Processes that share a terminal or a pipe would write into each other's lines.
        print(json.dumps(result.to_json()))
    return 0


def _read_job(options: argparse.Namespace) -> FinetuneJob:
    return FinetuneJob(
        base=options.base,
        clips=options.clips,
        out=options.out,
        cache_file=options.cache,
        start_from=options.start_from,
        limit=options.limit,
        skip_bad=options.skip_bad,
        device=pick_device(options.device),
        resume=options.resume,
        trackers=tuple(name for name in options.trackers.split(",") if name != "none"),
        validation_clips=options.validation_clips,
        validate_every=options.validate_every,
        num_validations=options.num_validations,
        validation_steps=options.validation_steps,
    )


def _rehearse(config: FinetuneConfig, options: argparse.Namespace) -> int:
    """Say what the run would train, need and cost, and what is wrong with its clips."""
    split_batch(config.batch_size, 1, 0, config.micro_batch_size)
    sizes = read_transformer_config(options.base, options.recipe)
    validates = options.validation_clips is not None
    print(estimate(config, sizes, options.base, validates=validates).describe())
    # The VAE of every CogVideoX halves the sides three times, the mini model's twice.
    factor = 8 if options.base is None else read_spatial_factor(options.base)
    size_hw = (sizes["sample_height"] * factor, sizes["sample_width"] * factor)
    caches = CacheSize.of(config, sizes, size_hw)
    if options.clips is None:
        print(caches.describe(None))
        return 0
    tokenizer = None
    if options.base is not None:
        tokenizer = read_tokenizer(options.base)
    if tokenizer is not None and config.prompt.added_tokens:
        tokenizer.add_tokens(list(config.prompt.slot_words))
    demands = demands_of(tokenizer, size_hw, SimpleNamespace(**sizes), config)
    report = check_clips(options.clips, demands, options.limit)
    captions = {record.text for record in report.records}
    print(caches.describe(len(report.records), len(captions)))
    _tell("clips", report)
    if tokenizer is None:
        print("                captions not checked, give --base")
    num_bad = 0 if options.skip_bad else len(report.problems)
    if validates:
        shown = check_clips(options.validation_clips, demands, options.num_validations)
        _tell("to validate on", shown)
        num_bad += len(shown.problems)
    return 2 if num_bad else 0


def _tell(title: str, report: ClipReport) -> None:
    print(f"{title:<15} {len(report.records)} usable, {len(report.problems)} problems")
    for problem in report.problems:
        print(f"  {problem}")


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.finetune",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recipe", choices=sorted(RECIPES))
    add("--base", metavar="MODEL", help='"mini", a diffusers folder, or a Hub id')
    add("--clips", type=Path, metavar="DIR", help="clip folder, see docs/formats.md")
    add("--out", type=Path, metavar="DIR", help="adapter folder to write")
    add(
        "--start-from",
        metavar="DIR",
        help='adapter to go on with, "default": of mini; one of another base has to be moved: '
        "python -m training.move_adapter [none]",
    )
    add("--dry-run", action="store_true", help="say what it would train, need and cost; no weights")
    add("--skip-bad", action="store_true", help="go on without unusable clips")
    add("--limit", type=int, metavar="N", help="use only the first clips")
    add("--cache", type=Path, metavar="FILE", help="latent cache [beside the adapter]")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    add(
        "--resume",
        nargs="?",
        choices=RESUME_MODES,
        const="require",
        default="auto",
        help="auto: go on if there is a checkpoint [auto]; require (or alone): there must be one; "
        "never: there must be none",
    )
    add(
        "--trackers",
        default="tensorboard",
        help="tensorboard, wandb, or none; several with commas [tensorboard]",
    )
    add("--validation-clips", type=Path, metavar="DIR", help="imagine rollouts of these clips")
    add("--validate-every", type=int, default=500, metavar="N", help="steps between them [500]")
    add("--num-validations", type=int, default=4, metavar="N", help="how many clips [4]")
    add("--validation-steps", type=int, metavar="N", help="denoising steps [the model's]")
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
