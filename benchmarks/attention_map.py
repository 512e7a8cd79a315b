"""Cost of the attention map of one block: recorded by fused attention, against materialised scores.

    python -m benchmarks.attention_map            # a table
    python -m benchmarks.attention_map --json     # one line

Both ways are timed in one run, in alternated rounds, as CPU time of one thread; each ratio is the
median of the rounds' ratios. Peak memory is that of a fresh process per way. Errors are against
float64 on a part of the heads. Sizes are CogVideoX-5B's: 17,776 keys, of which 226 are text, 1,350
queries of the first latent frame, heads 64 wide.

Shape suffixes: B batch, H heads, N keys, D width of a head, Q queries.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from benchmarks.memory import peak_above
from benchmarks.summary import format_table
from tavid_core.attention import AttentionRecorder

__all__ = ["main"]

NUM_TEXT, GRID_HW, WIDTH, SLOT = 226, (30, 45), 64, 5
LIMITS = {
    "time_ratio_forward": "<= 0.85",
    "time_ratio_forward_backward": "<= 0.85",
    "peak_memory_ratio": "<= 0.1",
}

Map = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def recorded_map(query_BHND: torch.Tensor, key_BHND: torch.Tensor) -> torch.Tensor:
    """Compute the map as training does.

    Args:
        query_BHND: Of all tokens, text first.
        key_BHND: Likewise.

    Returns:
        (B, Q).
    """
    recorder = AttentionRecorder(token_index=[SLOT], grid_hw=GRID_HW)
    recorder.begin_pass()
    recorder.record(0, query_BHND, key_BHND, NUM_TEXT)
    return recorder.mean_map()


def materialised_map(query_BHND: torch.Tensor, key_BHND: torch.Tensor) -> torch.Tensor:
    """Compute the map by way of all scores, as the released code does.

    Args:
        query_BHND: Of all tokens, text first.
        key_BHND: Likewise.

    Returns:
        (B, Q).
    """
    num_queries = GRID_HW[0] * GRID_HW[1]
    first_BHQD = query_BHND[:, :, NUM_TEXT : NUM_TEXT + num_queries]
    scores_BHQN = first_BHQD @ key_BHND.transpose(2, 3) * WIDTH**-0.5
    return scores_BHQN.softmax(-1)[..., SLOT].mean(1)


WAYS: dict[str, Map] = {"recorded": recorded_map, "materialised": materialised_map}


def _make_inputs(
    num_keys: int, num_heads: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, num_heads, num_keys, WIDTH)
    query, key = (torch.randn(shape, generator=generator, dtype=torch.float32) for _ in range(2))
    return query.to(dtype), key.to(dtype)


def _run(way: Map, query: torch.Tensor, key: torch.Tensor, *, backward: bool) -> float:
    """CPU seconds of one map."""
    query, key = (tensor.detach().requires_grad_(backward) for tensor in (query, key))
    start_sec = time.process_time()
    with torch.set_grad_enabled(backward):
        map_BQ = way(query, key)
        if backward:
            map_BQ.square().sum().backward()
    return time.process_time() - start_sec


def _time_ratio(num_keys: int, num_heads: int, num_rounds: int, *, backward: bool) -> float:
    query, key = _make_inputs(num_keys, num_heads)
    ratios = []
    name = "forward and backward" if backward else "forward"
    for number in tqdm(range(num_rounds + 1), name, disable=None, leave=False):
        # Who goes first changes, so that neither always finds a warm cache.
        order = list(WAYS) if number % 2 else list(WAYS)[::-1]
        seconds = {way: _run(WAYS[way], query, key, backward=backward) for way in order}
        ratios.append(seconds["recorded"] / seconds["materialised"])
    # The first round pays for what is loaded once.
    return statistics.median(ratios[1:])


def _peak_bytes(way: str, num_keys: int, num_heads: int) -> int:
    words = [sys.executable, "-m", "benchmarks.attention_map", "--measure-peak", way]
    words += ["--keys", str(num_keys), "--heads", str(num_heads)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(done.stdout)


def _measure_peak(way: str, num_keys: int, num_heads: int) -> int:
    """Bytes that one map with its gradient needs on top of its inputs; for a fresh process."""
    # Code and thread pools are loaded before, at a size that does not count.
    small_query, small_key = _make_inputs(NUM_TEXT + GRID_HW[0] * GRID_HW[1], 1)
    _run(WAYS[way], small_query, small_key, backward=True)
    query, key = _make_inputs(num_keys, num_heads)
    return peak_above(lambda: _run(WAYS[way], query, key, backward=True))


def _max_errors(num_keys: int) -> tuple[float, float]:
    """Largest difference of values and of gradients from float64."""
    results = []
    for way, dtype in ((recorded_map, torch.float32), (materialised_map, torch.float64)):
        query, key = _make_inputs(num_keys, 1, dtype)
        query.requires_grad_(), key.requires_grad_()
        map_BQ = way(query, key)
        map_BQ.sum().backward()
        results.append([tensor.double() for tensor in (map_BQ.detach(), query.grad, key.grad)])
    value, *gradients = (
        float((one - other).abs().max()) for one, other in zip(*results, strict=True)
    )
    return value, max(gradients)


def measure(num_keys: int, num_heads: int, num_rounds: int) -> dict[str, float | int]:
    """Measure everything.

    Args:
        num_keys: Text and video tokens.
        num_heads: Heads; the ratios hardly depend on it.
        num_rounds: Timed rounds of each kind.

    Returns:
        The figures.
    """
    torch.set_num_threads(1)
    value, gradient = _max_errors(num_keys)
    peaks = {way: _peak_bytes(way, num_keys, num_heads) for way in WAYS}
    return {
        "time_ratio_forward": _time_ratio(num_keys, num_heads, num_rounds, backward=False),
        "time_ratio_forward_backward": _time_ratio(num_keys, num_heads, num_rounds, backward=True),
        "peak_memory_ratio": peaks["recorded"] / peaks["materialised"],
        "peak_recorded_mib": round(peaks["recorded"] / 2**20, 1),
        "peak_materialised_mib": round(peaks["materialised"] / 2**20, 1),
        "max_abs_error_value": value,
        "max_abs_error_gradient": gradient,
        "num_keys": num_keys,
        "num_queries": GRID_HW[0] * GRID_HW[1],
        "num_heads": num_heads,
        "num_rounds": num_rounds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: Command line, without the program's name; None = that of the process.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(prog="attention_map", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--keys", type=int, default=17_776, metavar="N", help="[17776]")
    parser.add_argument("--heads", type=int, default=4, metavar="N", help="[4]")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="timed rounds [9]")
    parser.add_argument("--measure-peak", choices=sorted(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure_peak:
        torch.set_num_threads(1)
        print(_measure_peak(options.measure_peak, options.keys, options.heads))
        return 0
    figures = measure(options.keys, options.heads, options.rounds)
    print(json.dumps(figures) if options.json else format_table(figures, LIMITS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
