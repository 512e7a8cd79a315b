"""Which blocks look at the named object: `python -m training.blocks MODEL CLIPS`.

For every block and both directions, the error between the map of a word's token and the target's
mask, over clips with noise at several timesteps: recorded ones, or with `--generated` those that
the model imagines itself from their first frames, masks and captions. The range of neighbouring
blocks with the least error is where the attention loss belongs; so the paper found blocks 5 to 23
of CogVideoX-5B.

Shapes: B batch (1), F latent frames, C channels, H x W latents, Q first-frame tokens.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.adapter import load_adapter
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.attention import AttentionRecorder, install_processors, token_grid
from tavid_core.errors import TavidError
from tavid_core.mask import mask_to_grid
from tavid_core.model_card import read_model_card
from tavid_core.model_folder import find_adapter_folder, find_model_folder, load_pipeline
from tavid_core.pipeline import TargetAwarePipeline
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.prompt import find_slot_index, find_slot_indices
from training.clip_check import check_limit
from training.clips import ClipRecord, read_frames, read_records, read_slot_masks
from training.device import pick_device
from training.figure import start_figure
from training.measure import make_request
from training.noised_clip import ClipNoiser
from training.rollouts import imagine_batch

__all__ = ["BlockErrors", "best_range", "main", "measure_blocks"]

DIRECTIONS = ("v2t", "t2v")
DEFAULT_TIMESTEPS = (100, 300, 500, 700, 900)
# Else the least mean is that of the single best block. 17 of 42 blocks, so that ranges about as
# long as the paper's 19 are found, and 2 of the mini model's 6, as many as a step supervises.
RANGE_SHARE = 0.4


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockErrors:
    """How far each block's map is from the mask.

    Args:
        errors: Root mean squared difference of map (brought to 0..1) and mask, float64
            (2, blocks): by direction, "v2t" then "t2v".
        spread: Standard error of the mean over clips, of the same shape.
        empty_error: Of a map that is 0 everywhere; a block above it does not look at the target.
        num_clips: Clips that were looked at.
    """

    errors: NDArray[np.float64]
    spread: NDArray[np.float64]
    empty_error: float
    num_clips: int

    def table(self) -> str:
        """Write the errors for people.

        Returns:
            One line per block, and one of an empty map.
        """
        lines = ["block      v2t      t2v"]
        lines += [f"{i:>5} {v:>8.4f} {t:>8.4f}" for i, (v, t) in enumerate(self.errors.T)]
        lines.append(f"empty {self.empty_error:>8.4f} {self.empty_error:>8.4f}")
        return "\n".join(lines)


def best_range(errors: NDArray[np.float64]) -> tuple[int, int]:
    """Find the neighbouring blocks with the least mean error.

    Args:
        errors: Of one direction, (blocks,).

    Returns:
        First and last block of the best range of at least two fifths of the blocks.
    """
    shortest = max(1, round(RANGE_SHARE * len(errors)))
    ranges = [
        (first, last)
        for first in range(len(errors))
        for last in range(first + shortest - 1, len(errors))
    ]
    return min(ranges, key=lambda span: float(errors[span[0] : span[1] + 1].mean()))


@torch.no_grad()
def measure_blocks(
    pipeline: TargetAwarePipeline,
    manifest: AdapterManifest | None,
    folder: Path,
    records: Sequence[ClipRecord],
    *,
    word: str = "",
    timesteps: Sequence[int] = DEFAULT_TIMESTEPS,
    sampler: RolloutSampler | None = None,
) -> BlockErrors:
    """Compare the maps of every block with the masks of clips.

    Args:
        pipeline: The model, with an adapter or without.
        manifest: Of the adapter, or None.
        folder: Clip folder.
        records: Clips of it.
        word: Whose token is looked at, as the captions write it; "" = the adapter's slot token.
        timesteps: At which clips are noised.
        sampler: Of this very pipeline: imagines the clips anew, from their first frames. None =
            the recorded clips.

    Returns:
        The errors.

    Raises:
        PromptError: If the word is not in a caption, or is more than one token.
        ConfigError: If there is neither a word nor an adapter.
        InputError: If a clip lacks the mask of a slot.
    """
    # After the sampler, which records fewer blocks.
    install_processors(pipeline.transformer)
    probe = _Probe(pipeline, manifest, word, tuple(timesteps))
    found, empty = [], []
    for index, record in enumerate(tqdm(records, "blocks", unit="clip")):
        frames = _frames(folder, record, index, sampler)
        masks = read_slot_masks(folder, record, max(1, pipeline.num_mask_slots))
        found.append(probe.errors(index, frames, masks, record.text))
        # The root mean square of a mask of zeros and ones.
        empty.append(np.sqrt(mask_to_grid(masks[0], pipeline.token_grid()).mean()))
    errors = np.array(found)
    return BlockErrors(
        errors=errors.mean(axis=0),
        spread=errors.std(axis=0) / np.sqrt(len(errors)),
        empty_error=float(np.mean(empty)),
        num_clips=len(errors),
    )


def _frames(
    folder: Path, record: ClipRecord, index: int, sampler: RolloutSampler | None
) -> NDArray[np.uint8]:
    if sampler is None:
        return read_frames(folder, record)
    request = make_request(folder, record, index, sampler.pipeline.num_mask_slots)
    return imagine_batch(sampler, [request])[0].frames


class _BothDirections:
    """Two recorders on one pass, for a pass costs far more than its maps."""

    def __init__(self, token: int, grid_hw: tuple[int, int]) -> None:
        self.recorders = [
            AttentionRecorder(token_index=[token], grid_hw=grid_hw, direction=direction)
            for direction in DIRECTIONS
        ]

    def begin_pass(self) -> None:
        for recorder in self.recorders:
            recorder.begin_pass()

    def wants(self, block_index: int) -> bool:
        return self.recorders[0].wants(block_index)

    def record(
        self, block_index: int, query_BHND: torch.Tensor, key_BHND: torch.Tensor, num_text: int
    ) -> None:
        for recorder in self.recorders:
            recorder.record(block_index, query_BHND, key_BHND, num_text)


class _Probe:
    """Runs noised clips through the transformer and reads all blocks' maps."""

    def __init__(
        self,
        pipeline: TargetAwarePipeline,
        manifest: AdapterManifest | None,
        word: str,
        timesteps: tuple[int, ...],
    ) -> None:
        self._pipeline, self._manifest, self._word = pipeline, manifest, word
        self._timesteps = timesteps
        self._noiser = ClipNoiser(pipeline, manifest)

    def errors(
        self,
        index: int,
        frames: NDArray[np.uint8],
        masks: Sequence[NDArray[np.bool_]],
        caption: str,
    ) -> NDArray[np.float64]:
        """Errors of one clip, (2, blocks), averaged over timesteps; of masks the target's first."""
        transformer = self._pipeline.transformer
        token = self._find_token(caption)
        clip = self._noiser.encode(frames, masks, caption)
        grid_hw = token_grid(transformer, tuple(clip.latents_BFCHW.shape[-2:]))
        mask_Q = torch.from_numpy(mask_to_grid(masks[0], grid_hw)).flatten()
        generator = torch.Generator().manual_seed(index)
        total = np.zeros((len(DIRECTIONS), len(transformer.transformer_blocks)))
        for timestep in self._timesteps:
            both = _BothDirections(token, grid_hw)
            self._noiser.predict(clip, timestep, generator, {"recorder": both})
            for row, recorder in enumerate(both.recorders):
                for block, map_BQ in recorder.maps.items():
                    total[row, block] += _error(map_BQ[0].cpu(), mask_Q)
        return total / len(self._timesteps)

    def _find_token(self, caption: str) -> int:
        tokenizer = self._pipeline.tokenizer
        length = self._pipeline.transformer.config.max_text_seq_length
        if self._word or self._manifest is None:
            return find_slot_index(tokenizer, self._noiser.text(caption), self._word, length)
        return find_slot_indices(tokenizer, caption, self._manifest.prompt, length)[0]


def _error(map_Q: torch.Tensor, mask_Q: torch.Tensor) -> float:
    low, high = map_Q.min(), map_Q.max()
    return float(((map_Q - low) / (high - low).clamp_min(1e-12) - mask_Q).square().mean().sqrt())


def draw_errors(found: BlockErrors, path: Path) -> None:
    """Plot the errors.

    Args:
        found: What to draw.
        path: PNG to write.

    Raises:
        MissingExtraError: If matplotlib is missing.
    """
    figure, axes = start_figure(7, 3.5)
    blocks = np.arange(found.errors.shape[1])
    names = ("video to text (V2T)", "text to video (T2V)")
    for name, errors, spread in zip(names, found.errors, found.spread, strict=True):
        axes.errorbar(blocks, errors, yerr=spread, marker="o", capsize=3, label=name)
    axes.axhline(found.empty_error, color="grey", linestyle=":", label="an empty map")
    first, last = best_range(found.errors[0])
    axes.axvspan(first - 0.4, last + 0.4, alpha=0.15, label=f"best range, blocks {first} to {last}")
    axes.set(xlabel="block", ylabel="RMS error of map and mask", xticks=blocks)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.blocks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", help='"mini", or a diffusers folder')
    add("clips", type=Path, help="clip folder with masks")
    add("--adapter", default="default", help='a folder, "default" (of mini) or "none" [default]')
    add("--word", default="", help="whose token; with an adapter its slot token if left out")
    add("--num-clips", type=int, default=100, metavar="N", help="[100]")
    add("--generated", action="store_true", help="imagine the clips anew; slower")
    add("--plot", type=Path, metavar="FILE", help="png to draw the errors into")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    add("--json", action="store_true", help="one line of JSON instead of the table")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and the best range.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable.
    """
    options = _make_parser().parse_args(arguments)
    try:
        check_limit("num_clips", options.num_clips)
        device = pick_device(options.device)
        adapter = find_adapter_folder(options.model, options.adapter)
        folder = find_model_folder(options.model)
        # As stored, in half precision, weights would not mix with the latents.
        pipeline = load_pipeline(folder, torch.float32).to(device)
        manifest = None if adapter is None else load_adapter(pipeline, adapter)
        records = read_records(options.clips)[: options.num_clips]
        card = read_model_card(folder, default_num_frames=pipeline.transformer.config.sample_frames)
        found = measure_blocks(
            pipeline,
            manifest,
            options.clips,
            records,
            word=options.word,
            sampler=RolloutSampler(pipeline, manifest, card) if options.generated else None,
        )
        if options.plot is not None:
            draw_errors(found, options.plot)
    except TavidError as error:
        print(f"blocks: {error}", file=sys.stderr)
        return 2
    first, last = best_range(found.errors[0])
    if options.json:
        rows = {
            name: row.round(5).tolist() for name, row in zip(DIRECTIONS, found.errors, strict=True)
        }
        rows["empty"] = round(found.empty_error, 5)
        print(json.dumps({**rows, "best_range": [first, last], "num_clips": found.num_clips}))
        return 0
    print(found.table())
    blocks = ",".join(str(block) for block in range(first, last + 1))
    print(f"least error, v2t: blocks {first} to {last}; --set attention_blocks={blocks}")
    if found.errors[0].min() > found.empty_error:
        print("but an empty map is nearer to the mask: no block looks at the target by itself")
    return 0


if __name__ == "__main__":
    sys.exit(main())
