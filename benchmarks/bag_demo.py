"""From a bag to a planner that has learnt from it: `python -m benchmarks.bag_demo`.

    1 draw       episodes of a place that the shipped adapter has never seen, as videos
    2 record     a camera plays them, a recorder writes a bag (two ROS 2 processes)
    3 convert    the bag becomes clips: python -m training.sources.bags
    4 draw       other scenes of that place, which nobody trains on
    5 before     how often the shipped adapter has the right object touched there
    6 fine-tune  the shipped adapter goes on with the clips
    7 after      the same scenes again
    8 plan       planner node, camera and client, with the new adapter

What is done is not done again: the same command goes on. `--size small` shows in some minutes that
all parts fit, and its rates mean little; `--size full` takes a quarter of an hour of computing on
one core, beside five minutes of recording.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from benchmarks.lab_recording import TOPICS, record_lab
from benchmarks.step_process import run_step
from tavid_core.errors import InputError, TavidError
from tavid_ros.demo import DemoOptions, run_demo
from training.clips import METADATA_NAME, read_frames, read_mask, read_records
from training.sources.sim.episodes import CAPTIONS_NAME, NUM_FRAMES

__all__ = ["ASSETS", "DOMAINS", "SIZES", "BagDemo", "main", "run_bag_demo"]

ASSETS = Path(__file__).parents[1] / "tavid_core" / "assets"
# What differs from where the shipped adapter was trained; options of the simulated world.
DOMAINS = MappingProxyType(
    {
        "low_camera": ("--camera", "low", "--actor", "person"),
        "high_camera": ("--camera", "high", "--actor", "person"),
        "unseen_kinds": ("--unseen-kinds", "--actor", "person"),
        "arm": ("--actor", "arm"),
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagDemo:
    """How much is recorded, trained and measured.

    Args:
        domain: One of `DOMAINS`.
        num_episodes: In the bag.
        num_scenes: Held-out scenes that are judged.
        num_steps: Of the fine-tuning.
        learning_rate: Of the fine-tuning.
        inference_steps: Denoising steps of every rollout; 0 = the model's default.
        split: Scenes that are judged: "held_out", or "validation" to choose the two above by.
    """

    domain: str = "low_camera"
    num_episodes: int
    num_scenes: int
    num_steps: int
    learning_rate: float = 1.5e-3
    inference_steps: int = 0
    split: str = "held_out"

    @property
    def recording(self) -> dict[str, object]:
        """What the bag depends on; everything else may change in the same folder."""
        return {"domain": self.domain, "num_episodes": self.num_episodes}

    @property
    def training(self) -> str:
        """Name of the adapter."""
        return f"adapter_{self.num_steps}_steps_{self.learning_rate:g}"

    @property
    def judging(self) -> str:
        """Name of the scenes, and how they are imagined."""
        steps = f"_{self.inference_steps}_steps" if self.inference_steps else ""
        return f"{self.split}_{self.num_scenes}{steps}"


SIZES = MappingProxyType(
    {
        "small": BagDemo(num_episodes=12, num_scenes=8, num_steps=20),
        "full": BagDemo(num_episodes=120, num_scenes=60, num_steps=60),
    }
)


def run_bag_demo(demo: BagDemo, out: Path) -> dict[str, object]:
    """Go through all steps that are not done yet.

    Args:
        demo: How much of everything.
        out: Folder of this demo, new or of an interrupted one.

    Returns:
        Figures by name.

    Raises:
        TavidError: If a step fails; the message says what to do.
    """
    _claim(out, demo)
    where = DOMAINS[demo.domain]
    episodes, bag, clips = out / "episodes", out / "bag", out / "clips"
    scenes, adapter = out / f"{demo.split}_{demo.num_scenes}", out / demo.training
    before = out / f"before_{demo.judging}.json"
    after = out / f"{demo.training}_{demo.judging}.json"
    if _begin(1, f"draw {demo.num_episodes} episodes of {demo.domain}", episodes / CAPTIONS_NAME):
        words = ["--out", episodes, "--num-episodes", demo.num_episodes, *where]
        run_step("training.sources.sim.episodes", words)
    if _begin(2, "record them", bag / "metadata.yaml"):
        record_lab(episodes, bag, out, num_frames=NUM_FRAMES)
    if _begin(3, "convert the bag to clips", clips / METADATA_NAME):
        (out / "topics.yaml").write_text(TOPICS.to_yaml(), encoding="utf-8")
        words = [bag, "--topics", out / "topics.yaml", "--preset", "mini"]
        words += ["--licence", "CC0-1.0", "--out", clips]
        # 3: something was lost on the way, and is counted below.
        run_step("training.sources.bags", words, good=(0, 3))
    if _begin(4, f"draw {demo.num_scenes} other scenes", scenes / METADATA_NAME):
        words = ["--out", scenes, "--num-clips", demo.num_scenes, "--split", demo.split]
        words += ["--world", "1", "--num-objects", "3", "--look-alikes", *where]
        run_step("training.sources.sim", words)
    if _begin(5, "judge the shipped adapter", before):
        _judge(demo, scenes, "default", before)
    if _begin(6, f"fine-tune it, {demo.num_steps} steps", adapter / "tavid_adapter.json"):
        run_step("training.finetune", _finetune_words(demo, clips, adapter))
    if _begin(7, "judge the new adapter", after):
        _judge(demo, scenes, adapter, after)
    _begin(8, "plan with it", None)
    plan_uri = _plan(demo, scenes, adapter, out)
    return {**_count_clips(clips), **_read_rates(before, after), "plan_uri": plan_uri}


def _claim(out: Path, demo: BagDemo) -> None:
    """Make the folder this demo's, or check that it is."""
    path, wanted = out / "bag_demo.json", demo.recording
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not path.is_file())):
        raise InputError(f"out must be new or of this demo, got {out}. Choose another name.")
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != wanted:
            raise InputError(
                f"out must hold {wanted}, got {out} with {found}. Choose another name, or remove "
                "it."
            )
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted) + "\n", encoding="utf-8")


def _begin(number: int, title: str, product: Path | None) -> bool:
    """Say which step comes; tell whether it is still to be done."""
    is_done = product is not None and product.is_file()
    print(f"[{number}/8] {title}{': done' if is_done else ''}", flush=True)
    return not is_done


def _finetune_words(demo: BagDemo, clips: Path, adapter: Path) -> list[object]:
    settings = {
        "steps": demo.num_steps,
        "learning_rate": demo.learning_rate,
        "warmup_steps": min(10, demo.num_steps),
        "ema_decay": 0.98 if demo.num_steps >= 100 else 0.9,
        "save_every": 20,
    }
    words: list[object] = ["mini", "--base", ASSETS / "mini", "--clips", clips, "--out", adapter]
    words += ["--start-from", ASSETS / "mini_adapter", "--trackers", "none"]
    # One for all adapters that are tried.
    words += ["--cache", adapter.with_name("latents.safetensors")]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    return words


def _judge(demo: BagDemo, scenes: Path, adapter: Path | str, path: Path) -> None:
    words = ["--rows", "tavid", "--adapter", adapter, "--clips", scenes, "--json"]
    words += ["--scenes", demo.num_scenes]
    words += ["--steps", demo.inference_steps] if demo.inference_steps else []
    # Once is enough: the clips are the same.
    words += [] if adapter == "default" else ["--no-referee-check"]
    part = path.with_suffix(".part")
    run_step("training.evaluate", words, stdout=part)
    part.replace(path)


def _plan(demo: BagDemo, scenes: Path, adapter: Path, out: Path) -> str:
    """Plan the first held-out scene over ROS 2; gives the plan's URI."""
    record = read_records(scenes)[0]
    image, mask = out / "image.png", out / "mask.png"
    cv2.imwrite(str(image), read_frames(scenes, record)[0][:, :, ::-1])
    cv2.imwrite(str(mask), read_mask(scenes, record.mask_file).astype(np.uint8) * 255)
    options = DemoOptions(
        image=image,
        mask=mask,
        prompt=record.text,
        out=out / "plan",
        adapter=str(adapter.absolute()),
        num_inference_steps=demo.inference_steps,
    )
    print(run_demo(options), flush=True)
    return (out / "plan").absolute().as_uri()


def _count_clips(clips: Path) -> dict[str, object]:
    report = json.loads((clips / "report.json").read_text(encoding="utf-8"))
    dropped = report["num_rejected"] + sum(report["losses"].values())
    return {"clips": report["num_clips"], "dropped": dropped}


def _read_rates(before: Path, after: Path) -> dict[str, object]:
    figures: dict[str, object] = {}
    for moment, path in (("before", before), ("after", after)):
        row = json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1])["tavid"]
        figures[f"target_contact_{moment}"] = row["target_contact"]
        figures[f"target_contact_{moment}_interval"] = row["target_contact_interval"]
        figures["num_scenes"] = row["num_scenes"]
    return figures


def _parse(arguments: list[str] | None) -> tuple[BagDemo, Path]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bag_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, size = parser.add_argument, os.environ.get("TAVID_DEMO_SIZE") or "small"
    out = os.environ.get("TAVID_DEMO_OUT") or "out/bag_demo"
    add("--size", choices=sorted(SIZES), default=size, help="of everything below [small]")
    add("--domain", choices=sorted(DOMAINS), default="low_camera", help="what is new [low_camera]")
    add("--num-episodes", type=int, help="in the bag")
    add("--num-scenes", type=int, help="scenes that are judged")
    add(
        "--split",
        choices=("held_out", "validation"),
        help="which scenes; choose steps and rate by those of validation [held_out]",
    )
    add("--num-steps", type=int, help="of the fine-tuning")
    add("--learning-rate", type=float, help="of the fine-tuning")
    add("--inference-steps", type=int, help="denoising steps of every rollout")
    add("--out", type=Path, default=Path(out), metavar="DIR", help=f"[{out}]")
    words = vars(parser.parse_args(arguments))
    if words["size"] not in SIZES:
        parser.error(f"SIZE must be one of {', '.join(SIZES)}, got {words['size']!r}")
    folder, demo = words.pop("out"), SIZES[words.pop("size")]
    changes = {name: value for name, value in words.items() if value is not None}
    for name in ("num_episodes", "num_scenes", "num_steps"):
        if changes.get(name, 1) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {changes[name]}")
    return dataclasses.replace(demo, **changes), folder


def _end(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; its last line is one JSON object.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0; 1 if a step failed; 130 after Ctrl-C.
    """
    demo, out = _parse(arguments)
    signal.signal(signal.SIGTERM, _end)
    try:
        figures = run_bag_demo(demo, out)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
