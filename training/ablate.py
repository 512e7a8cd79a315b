"""Train and measure rows of the results: `python -m training.ablate --clips TRAIN --out RUNS`.

Every row is trained with the same recipe on the same clips and measured on the same scenes with
the same noise, at several numbers of steps; each measurement is one line of the log. What the log
holds already is not done again, so an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tavid_core.errors import ConfigError, TavidError
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.model_folder import find_model_folder
from tavid_core.planner import InteractionPlanner
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.types import PlanRequest
from training.ablation import SLOPPY_SUFFIX, Ablation
from training.clips import read_records
from training.device import pick_device
from training.finetune import FinetuneJob, finetune
from training.measure import measure, spoil_target
from training.modulation import modulate, modulated
from training.recipes import RECIPES
from training.rollouts import BatchContext
from training.rows import ROWS, Row, find_row
from training.run_log import RunLine, RunLog

__all__ = ["main", "make_parser", "run"]

MAIN_ROWS = tuple(row.name for row in ROWS.values() if row.group == "main")

# A GPU waits for the next few scenes longer than it works at them.
CPU_BATCH, GPU_BATCH = 4, 32
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

EXAMPLE = """\
examples:
  python -m training.sources.sim --out runs/data/train --num-clips 1290
  python -m training.sources.sim --out runs/data/held_out --num-clips 200 --split held_out \\
      --num-objects 3 --look-alikes
  python -m training.sources.sim --out runs/data/validation --num-clips 60 --split validation \\
      --num-objects 3 --look-alikes
  python -m training.ablate --clips runs/data/train --scenes look_alikes_3=runs/data/held_out \\
      --validation runs/data/validation --out runs/ablation --rows base base_data tavid
  python -m training.results    # tables and plots of everything logged
"""


def run(ablation: Ablation) -> None:
    """Train and measure whatever the log does not hold yet.

    Args:
        ablation: What to do.

    Raises:
        TavidError: If clips or settings are unusable.
    """
    log = RunLog(ablation.log)
    for name in ablation.scenes:
        log.demand_base(_logged_name(ablation, name), ablation.base_digits)
    _check_clips(ablation)
    ablation.check_recipe()
    for row in ablation.rows:
        if row.kind == "adapter":
            for seed in ablation.seeds:
                _run_adapter(ablation, row, seed, log)
        elif row.kind != "base":
            _run_modulation(ablation, row, log)
        else:
            planner = _load(ablation, None)
            _measure(ablation, row, planner.sampler, log, seed=0, step=0)


def _load(ablation: Ablation, adapter: Path | None) -> InteractionPlanner:
    return InteractionPlanner.from_pretrained(
        ablation.base, adapter=adapter, device=str(ablation.device)
    )


def _check_clips(ablation: Ablation) -> None:
    """Refuse a folder with too few clips, before an hour has gone into the first row."""
    num_needed = max((row.num_clips for row in ablation.rows if row.kind == "adapter"), default=0)
    num_clips = len(read_records(ablation.clips))
    if num_clips < num_needed:
        raise ConfigError(
            f"clips must hold {num_needed} clips for these rows, got {num_clips}. Draw more, or "
            "leave rows out."
        )


def _run_adapter(ablation: Ablation, row: Row, seed: int, log: RunLog) -> None:
    for step in ablation.steps:
        wanted = [_line(ablation, row, name, seed, step) for name in ablation.scenes]
        if all(line in log for line in wanted):
            continue
        folder, seconds = _train(ablation, row, seed, step)
        planner = _load(ablation, folder)
        _measure(ablation, row, planner.sampler, log, seed=seed, step=step, train_sec=seconds)


def _train(ablation: Ablation, row: Row, seed: int, step: int) -> tuple[Path, float]:
    """Train to a step, from the checkpoint of the step before.

    The learning rate is constant after its warm-up, so a run of fewer steps is the beginning of
    the longer one.
    """
    started = time.monotonic()
    config = ablation.config_of(row, f"steps={step}", f"seed={seed}")
    loop = dataclasses.replace(config.loop, schedule="constant", save_every=step)
    folder = ablation.out / f"{row.name}_seed{seed}"
    job = FinetuneJob(
        base=ablation.base,
        clips=ablation.clips,
        out=folder,
        cache_file=ablation.out / "latents.safetensors",
        limit=row.num_clips,
        device=ablation.device,
    )
    result = finetune(dataclasses.replace(config, loop=loop), job)
    if result.num_steps != step:
        raise ConfigError(
            f"steps must not end before what {folder} was trained to, got {step} after "
            f"{result.num_steps}. Measure other scenes at its last step, or give another --out."
        )
    return folder, time.monotonic() - started


def _run_modulation(ablation: Ablation, row: Row, log: RunLog) -> None:
    if all(_line(ablation, row, name, 0, 0) in log for name in ablation.scenes):
        return
    if ablation.validation is None:
        raise ConfigError("validation must be given to choose a strength, got none. Name a folder.")
    planner = _load(ablation, None)
    rates = {}
    for strength in STRENGTHS:
        measured = measure(
            planner.sampler,
            ablation.validation,
            HeatmapDetector.from_pretrained(),
            num_scenes=ablation.num_curve_scenes,
            title=f"{row.name} {strength:g}",
            batch_size=ablation.batch_size,
            around=_modulating(planner.sampler, row, strength),
            change=spoil_target if ablation.sloppy_masks else None,
        )
        rates[strength] = measured.to_json()["target_contact"]
    best = max(STRENGTHS, key=lambda strength: rates[strength])
    _measure(
        ablation,
        row,
        planner.sampler,
        log,
        seed=0,
        step=0,
        around=_modulating(planner.sampler, row, best),
        strength=best,
        strength_rates={f"{strength:g}": rate for strength, rate in rates.items()},
    )


def _modulating(sampler: RolloutSampler, row: Row, strength: float) -> BatchContext:
    all_frames = row.kind == "modulation_all_frames"

    @contextlib.contextmanager
    def around(requests: Sequence[PlanRequest]) -> Iterator[None]:
        modulation = modulate(sampler.pipeline, requests, strength, all_frames=all_frames)
        with modulated(sampler.pipeline.transformer, modulation):
            yield

    return around


def _measure(
    ablation: Ablation,
    row: Row,
    sampler: RolloutSampler,
    log: RunLog,
    *,
    seed: int,
    step: int,
    around: BatchContext | None = None,
    **extra: object,
) -> None:
    detector = HeatmapDetector.from_pretrained()
    for name, folder in ablation.scenes.items():
        line = _line(ablation, row, name, seed, step)
        if line in log:
            continue
        started = time.monotonic()
        measured = measure(
            sampler,
            folder,
            detector,
            num_scenes=line.num_scenes,
            title=f"{row.name} seed {seed} step {step} {line.scenes}",
            batch_size=ablation.batch_size,
            around=around,
            change=spoil_target if ablation.sloppy_masks else None,
        )
        seconds = round(time.monotonic() - started, 1)
        found = {**measured.to_json(), "verdicts": measured.verdicts, "evaluate_sec": seconds}
        log.append(line, {"base": ablation.base_digits, **found, **extra})


def _logged_name(ablation: Ablation, scenes: str) -> str:
    return scenes + (SLOPPY_SUFFIX if ablation.sloppy_masks else "")


def _line(ablation: Ablation, row: Row, scenes: str, seed: int, step: int) -> RunLine:
    is_last = row.kind != "adapter" or step == ablation.steps[-1]
    return RunLine(
        row=row.name,
        scenes=_logged_name(ablation, scenes),
        seed=seed,
        step=step,
        num_clips=row.num_clips if row.kind == "adapter" else 0,
        num_scenes=ablation.num_scenes if is_last else ablation.num_curve_scenes,
    )


def _read_scenes(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not (name and separator and folder):
        raise argparse.ArgumentTypeError(f"scenes must be NAME=FOLDER, got {text!r}")
    return name, Path(folder)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns:
        The parser.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.ablate",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--base",
        default="mini",
        metavar="MODEL",
        help='"mini", a diffusers folder or Hub id [mini]',
    )
    add("--recipe", choices=sorted(RECIPES), default="mini", help="that fits the base [mini]")
    add("--clips", type=Path, required=True, metavar="DIR", help="training clips")
    add(
        "--scenes",
        type=_read_scenes,
        nargs="+",
        required=True,
        metavar="NAME=DIR",
        help="held-out clips, and what tables call them",
    )
    add("--validation", type=Path, metavar="DIR", help="scenes to choose the modulation on")
    add("--out", type=Path, required=True, metavar="DIR", help="adapters, checkpoints, latents")
    add("--log", type=Path, default=Path("docs/results/runs.jsonl"), metavar="FILE")
    add("--rows", nargs="+", default=list(MAIN_ROWS))
    add("--seeds", type=int, nargs="+", default=[0])
    add("--steps", type=int, nargs="+", default=list(Ablation.steps), help="steps to measure at")
    add("--num-scenes", type=int, default=200, help="scenes at the last step [200]")
    add("--num-curve-scenes", type=int, default=60, help="scenes at the steps before [60]")
    add("--batch-size", type=int, metavar="N", help="scenes imagined at a time [4, on a GPU 32]")
    add(
        "--sloppy-masks",
        action="store_true",
        help=f"show the scenes' masks as people give them; logged as NAME{SLOPPY_SUFFIX}",
    )
    add(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N [auto: the GPU if there is one]"
    )
    add("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and run.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable.
    """
    options = make_parser().parse_args(arguments)
    try:
        names = list(ROWS) if options.rows == ["all"] else options.rows
        device = pick_device(options.device)
        batch_size = options.batch_size
        if batch_size is None:
            batch_size = CPU_BATCH if device.type == "cpu" else GPU_BATCH
        run(
            Ablation(
                base=find_model_folder(options.base),
                clips=options.clips,
                scenes=dict(options.scenes),
                validation=options.validation,
                out=options.out,
                log=options.log,
                rows=tuple(dict.fromkeys(find_row(name) for name in names)),
                seeds=tuple(options.seeds),
                steps=tuple(options.steps),
                num_scenes=options.num_scenes,
                num_curve_scenes=options.num_curve_scenes,
                batch_size=batch_size,
                recipe=options.recipe,
                settings=tuple(options.settings),
                sloppy_masks=options.sloppy_masks,
                device=device,
            )
        )
    except TavidError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"log": str(options.log)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
