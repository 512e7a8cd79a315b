"""How fast bags become clips, in how much memory, and what damage does to them.

    python -m benchmarks.bags            # a table
    python -m benchmarks.bags --json     # one line

The stream has 720x480 JPEG images with a camera's noise at 30 Hz, a target mask, an actor mask and
camera_info with each of them, and is read with a topic map. Processor time is that of the whole
command, from bag to mp4, all its processes together; memory is that of its largest process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mcap.writer import CompressionType
from tqdm import tqdm

from benchmarks.bag_bombs import BOMBS
from benchmarks.bag_damage import measure_cuts, measure_flips
from benchmarks.bag_maker import BagScene, Entry, make_messages, shift_entry, write_mcap
from benchmarks.command import make_parser, run
from benchmarks.summary import Figure
from tavid_core.errors import InputError
from training.sources.bags.topic_map import CameraTopics, TopicMap

__all__ = ["main"]

LIMITS = {
    "realtime_factor_per_core": ">= 5",
    "flips_reported_share": ">= 0.99",
    "cut_recovered_share": ">= 0.95",
    "silently_fewer": "<= 0",
    "bomb_peak_rss_mb": "<= 512",
    "rss_growth_mb": "<= 64",
}

SIZE_HW, RATE_HZ, SCENE_SEC = (480, 720), 30.0, 10.0
# As a camera at daylight has; grey levels.
NOISE = 2.0
TOPICS = TopicMap(
    cameras={
        "camera": CameraTopics(
            image="/camera/image/compressed",
            camera_info="/camera/camera_info",
            target_mask="/camera/target_mask",
            actor_mask="/camera/actor_mask",
        )
    },
    prompt="/prompt",
)
IMAGE_BYTES = SIZE_HW[0] * SIZE_HW[1] * 3


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    parser = make_parser("benchmarks.bags", __doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0, help="of decoded images")
    parser.add_argument("--cuts", type=int, default=60, help="for each kind of compression")
    parser.add_argument("--flips", type=int, default=2000, help="the same")
    return run(measure, parser.parse_args(arguments), LIMITS)


def measure(options: argparse.Namespace) -> Mapping[str, Figure]:
    """Measure everything.

    Args:
        options: Of `main`.

    Returns:
        Figures by name.
    """
    with tempfile.TemporaryDirectory(prefix="tavid-bags-") as name:
        folder = Path(name)
        return {
            **measure_stream(folder, options.gigabytes),
            **measure_damage(folder, options.cuts, options.flips),
            **measure_bombs(folder),
        }


def measure_stream(folder: Path, num_gigabytes: float) -> dict[str, Figure]:
    """Convert a short and a long stream.

    Args:
        folder: For bags and clips.
        num_gigabytes: Of the long one, decoded.

    Returns:
        Times real time per core, peak of memory, and how much more the long one takes.
    """
    scene = BagScene(
        size_hw=SIZE_HW, num_images=round(SCENE_SEC * RATE_HZ), rate_hz=RATE_HZ, noise=NOISE
    )
    topics = folder / "topics.yaml"
    topics.write_text(TOPICS.to_yaml(), encoding="utf-8")
    entries = list(make_messages(scene))
    num_images = max(2 * scene.num_images, round(num_gigabytes * 1e9 / IMAGE_BYTES))
    num_repeats = num_images // scene.num_images
    peaks_mb = []
    for repeats in (max(1, num_repeats // 10), num_repeats):
        bag = folder / f"stream_{repeats}.mcap"
        write_mcap(bag, _repeat(entries, repeats), compression=CompressionType.NONE)
        words = ["--preset", "5b", "--topics", str(topics)]
        cpu_sec, peak_mb = _convert(bag, folder / f"clips_{repeats}", words, expected_status=0)
        peaks_mb.append(peak_mb)
        bag.unlink()
    stream_sec = num_repeats * SCENE_SEC
    return {
        "stream_sec": stream_sec,
        "decoded_gb": round(num_repeats * scene.num_images * IMAGE_BYTES / 1e9, 2),
        "num_clips": len(list((folder / f"clips_{num_repeats}").glob("clips/*/*.mp4"))),
        "realtime_factor_per_core": round(stream_sec / cpu_sec, 2),
        "peak_rss_mb": round(peaks_mb[1], 1),
        "rss_growth_mb": round(peaks_mb[1] - peaks_mb[0], 1),
    }


def _repeat(entries: list[Entry], num_repeats: int) -> Iterator[Entry]:
    for repeat in tqdm(range(num_repeats), "write the stream", leave=False):
        for entry in entries:
            yield shift_entry(entry, round(repeat * SCENE_SEC * 1e9))


def _convert(
    bag: Path, out: Path, words: list[str], *, expected_status: int
) -> tuple[float, float]:
    """Run the command; gives its processor time and its peak of memory (MiB)."""
    usage_file = out.with_suffix(".usage.json")
    command = [sys.executable, "-m", "benchmarks.child_usage", str(usage_file), sys.executable]
    command += ["-m", "training.sources.bags", str(bag), "--out", str(out)]
    command += [*words, "--workers", "1"]
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        cwd=Path(__file__).parents[1], env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if process.returncode != expected_status:
        raise InputError(
            f"the conversion must end with {expected_status}, got {process.returncode}. "
            f"It said: {process.stdout[-500:]}"
        )
    usage = json.loads(usage_file.read_text(encoding="ascii"))
    return usage["cpu_sec"], usage["peak_mb"]


def measure_damage(folder: Path, num_cuts: int, num_flips: int) -> dict[str, Figure]:
    """Cut a small bag off, and flip bits of it.

    Args:
        folder: For the bags.
        num_cuts: How often.
        num_flips: How often.

    Returns:
        Shares of damage that was told, and of messages that were saved.
    """
    path = folder / "small.mcap"
    cuts, flips = [], []
    for compression in (CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD):
        scene = BagScene(size_hw=(120, 160), num_images=200)
        write_mcap(path, make_messages(scene), compression=compression)
        cuts.append(measure_cuts(path, num_cuts))
        flips.append(measure_flips(path, num_flips))
    num_tries = sum(flip.num_tries for flip in flips)
    return {
        "flips_reported_share": min(round(flip.reported_share, 4) for flip in flips),
        "flips_harmless_share": round(sum(flip.num_harmless for flip in flips) / num_tries, 4),
        "cut_recovered_share": min(round(cut.recovered_share, 4) for cut in cuts),
        "cut_recovered_share_worst": round(min(min(cut.recovered_shares) for cut in cuts), 4),
        "cuts_reported_share": min(round(cut.reported_share, 4) for cut in cuts),
        "silently_fewer": sum(damage.num_silently_fewer for damage in (*flips, *cuts)),
    }


def measure_bombs(folder: Path, names: Iterable[str] = tuple(BOMBS)) -> dict[str, Figure]:
    """Convert small bags that inflate to much, with messages beyond and just below the caps.

    Args:
        folder: For the bags.
        names: Of the bombs.

    Returns:
        Peak of memory of each and of all, and the largest file's size.
    """
    peaks_mb, num_bytes = {}, 0
    bag, topics = folder / "bomb.mcap", folder / "bomb.yaml"
    for name in tqdm(names, "bombs", leave=False):
        bomb = BOMBS[name]
        bomb.write(bag)
        topics.write_text(bomb.topics.to_yaml(), encoding="utf-8")
        num_bytes = max(num_bytes, bag.stat().st_size)
        words = ["--preset", "mini", "--topics", str(topics)]
        status = bomb.expected_status
        _, peak_mb = _convert(bag, folder / f"clips_{name}", words, expected_status=status)
        peaks_mb[f"bomb_peak_rss_mb_{name}"] = round(peak_mb, 1)
    peak_mb = max(peaks_mb.values())
    return {"bomb_bytes": num_bytes, **peaks_mb, "bomb_peak_rss_mb": peak_mb}


if __name__ == "__main__":
    sys.exit(main())
