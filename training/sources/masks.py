"""Target and actor masks for recordings that come without: from clicks, or from what moves."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tavid_core.errors import ConfigError, InputError
from tavid_core.segment import Segmenter, check_method, make_segmenter
from tavid_core.segment_follow import TargetFollower
from tavid_core.segment_prompt import Segmentation
from tavid_core.segment_shapes import dilate
from training.sources.clicks import EVERY, Clicks, read_clicks
from training.sources.mask_store import MaskStore
from training.sources.motion_masks import MovedTarget, find_moved_target, watch_target
from training.sources.recording import Recording, RecordingJob, SourceNote, SourceProgress

__all__ = ["MaskMaker", "MaskedJob", "complete_masks"]

READ_CHUNK = 8
MAX_MOTION_SEC = 60.0
MAX_LOST_SEC = 1.0
# Of the height; how far a hand misses where it means to click.
NUDGE_SHARE = 0.005


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskMaker:
    """How masks are made where a source has none; picklable.

    Args:
        clicks_file: A user's clicks, or None.
        from_motion: Whether the thing that moves is the target where there are no clicks.
        method: Of `tavid_core.segment`: auto, sam or grabcut.
        checkpoint: Weights of segment-anything, or "".
        model_type: Of the checkpoint.
        device: Where segment-anything runs.
        min_score: Masks of clicks that score lower are not used.
        min_stability: Nor those that become another mask when the clicks move by a pixel or two:
            smallest overlap (intersection over union) of the two.
        min_share: Nor those that are smaller, share of the picture.
        max_share: Nor those that are larger.

    Raises:
        ConfigError: If the segmenter cannot be had.
        InputError: If the clicks cannot be read.
    """

    clicks_file: Path | None = None
    from_motion: bool = False
    method: str = "auto"
    checkpoint: str = ""
    model_type: str = "vit_b"
    device: str = "cpu"
    min_score: float = 0.2
    min_stability: float = 0.5
    min_share: float = 0.0005
    max_share: float = 0.5

    def __post_init__(self) -> None:
        """Find out before the first file is opened."""
        if not 0.0 <= self.min_share < self.max_share <= 1.0:
            raise ConfigError(
                f"min_share must be below max_share, got {self.min_share} and {self.max_share}. "
                "Use shares of the picture."
            )
        check_method(self.method, checkpoint=self.checkpoint, model_type=self.model_type)
        self.read_clicks()

    @property
    def makes_any(self) -> bool:
        """Whether recordings without masks get some."""
        return self.clicks_file is not None or self.from_motion

    def read_clicks(self) -> dict[str, tuple[Clicks, ...]]:
        """Read the clicks; none without a file."""
        return {} if self.clicks_file is None else read_clicks(self.clicks_file)

    def settings(self) -> dict[str, Any]:
        """Say as JSON values what decides the masks, for `run_conversion`.

        Returns:
            Options, and the hash of the clicks.
        """
        fields = dataclasses.asdict(self)
        del fields["device"]
        if self.clicks_file is not None:
            data = self.clicks_file.read_bytes()
            fields["clicks_file"] = hashlib.sha256(data).hexdigest()
        return fields


@dataclasses.dataclass(frozen=True)
class MaskedJob:
    """A source's job whose recordings get masks where they have none.

    Args:
        inner: The job.
        maker: How masks are made.
    """

    inner: RecordingJob
    maker: MaskMaker

    @property
    def name(self) -> str:
        """Of the inner job."""
        return self.inner.name

    def inputs(self) -> tuple[object, ...]:
        """Say what decides the recordings; see `RecordingJob`."""
        return self.inner, self.maker.settings()

    def open(self) -> Iterator[Recording | SourceNote | SourceProgress]:
        """Open the inner job.

        Yields:
            Its notes and recordings, and notes on masks.
        """
        for item in self.inner.open():
            if isinstance(item, Recording):
                yield from complete_masks(item, self.maker)
            else:
                yield item


def complete_masks(recording: Recording, maker: MaskMaker) -> Iterator[Recording | SourceNote]:
    """Add what is missing to a recording, and tell how.

    Args:
        recording: Of a source; one that has target masks is passed on as it is.
        maker: How masks are made.

    Yields:
        Notes, and last the recording.
    """
    if recording.target_masks:
        yield recording
        return
    clicks = maker.read_clicks()
    here = clicks.get(recording.name) or clicks.get(EVERY) or ()
    try:
        if here:
            masks, problems = _from_clicks(recording, here, maker)
            for problem in problems:
                yield SourceNote("click gave no mask", 1, f"{recording.name}: {problem}", False)
            recording = dataclasses.replace(recording, target_masks=masks)
            yield _add_actor(recording)
            return
        if maker.from_motion:
            yield _from_motion(recording)
            return
    except InputError as error:
        yield SourceNote("no mask could be made", 1, f"{recording.name}: {error}", False)
    yield recording


def _from_clicks(
    recording: Recording, clicks: Sequence[Clicks], maker: MaskMaker
) -> tuple[Mapping[int, Any], list[str]]:
    segmenter = make_segmenter(
        maker.method,
        checkpoint=maker.checkpoint,
        model_type=maker.model_type,
        device=maker.device,
    )
    store = MaskStore(recording.size_hw)
    problems = []
    for at, click in enumerate(clicks):
        try:
            mask = _segment(recording, click, segmenter, maker)
        except InputError as error:
            problems.append(f"frame {click.frame}: {error}")
            continue
        store.add(click.frame, mask)
        # Between two clicks each carries its half; before the first and after the last, all.
        earlier = 0 if at == 0 else (clicks[at - 1].frame + click.frame) // 2 + 1
        last = at + 1 == len(clicks)
        later = recording.num_frames if last else (click.frame + clicks[at + 1].frame) // 2 + 1
        for frames in (range(click.frame - 1, earlier - 1, -1), range(click.frame + 1, later)):
            _follow(recording, click.frame, frames, store)
    return store, problems


def _segment(recording: Recording, click: Clicks, segmenter: Segmenter, maker: MaskMaker) -> Any:
    if click.frame >= recording.num_frames:
        raise InputError(
            f"frame must be below {recording.num_frames}, got {click.frame}. Correct the click."
        )
    image = recording.read_frames(click.frame, click.frame + 1)[0]
    segmenter.set_image(image)
    found = _ask(segmenter, click)
    share = float(found.mask.mean())
    if not maker.min_share <= share <= maker.max_share:
        raise InputError(
            f"mask must cover {maker.min_share:.2%} to {maker.max_share:.0%} of the picture, got "
            f"{share:.2%}. Click elsewhere, or draw a box."
        )
    if found.score < maker.min_score:
        raise InputError(
            f"mask must score {maker.min_score:g} or more, got {found.score:.2f}. "
            "Add clicks beside the target, or draw a box."
        )
    other = _ask(segmenter, _nudge(click, image.shape[1], round(NUDGE_SHARE * image.shape[0])))
    overlap = (found.mask & other.mask).sum() / (found.mask | other.mask).sum()
    if overlap < maker.min_stability:
        raise InputError(
            "mask must stay the same when the click moves by a pixel or two, got one that shares "
            f"{overlap:.0%} with it. Click in the middle of the target, or draw a box."
        )
    return found.mask


def _ask(segmenter: Segmenter, click: Clicks) -> Segmentation:
    return segmenter.segment(
        [*click.on_target, *click.beside] or None,
        [1] * len(click.on_target) + [0] * len(click.beside) or None,
        click.box,
    )


def _nudge(click: Clicks, width: int, shift_px: int) -> Clicks:
    """Move what points at the target to the side, and stay in the picture."""

    def move(x: float) -> float:
        shifted = x + max(1, shift_px)
        return shifted if shifted <= width - 1 else x - max(1, shift_px)

    box = click.box
    return dataclasses.replace(
        click,
        on_target=tuple((move(x), y) for x, y in click.on_target),
        box=None if box is None else (move(box[0]), box[1], move(box[2]), box[3]),
    )


def _follow(recording: Recording, first: int, frames: range, store: MaskStore) -> None:
    """Carry the mask of a frame to others, until it is lost for a while."""
    follower = TargetFollower(recording.read_frames(first, first + 1)[0], store[first])
    num_lost = 0
    for frame in frames:
        found = follower.follow(recording.read_frames(frame, frame + 1)[0])
        if found is not None:
            store.add(frame, found.mask)
        num_lost = 0 if found is not None else num_lost + 1
        if num_lost > MAX_LOST_SEC * recording.fps:
            return


def _from_motion(recording: Recording) -> Recording:
    moved = find_moved_target(_read_all(recording))
    targets = MaskStore(recording.size_hw)
    for frame in range(moved.touch_frame):
        targets.add(frame, moved.target_mask)
    has_actor = bool(recording.actor_masks)
    return dataclasses.replace(
        recording,
        target_masks=targets,
        actor_masks=recording.actor_masks if has_actor else _mark_actor(recording, moved),
    )


def _add_actor(recording: Recording) -> Recording:
    """Where nothing tells who comes to the target that was clicked, take what moves."""
    knows_actor = recording.contact is not None or recording.hand_pixels is not None
    if knows_actor or recording.actor_masks or 0 not in recording.target_masks:
        return recording
    moved = watch_target(_read_all(recording), recording.target_masks[0])
    return dataclasses.replace(recording, actor_masks=_mark_actor(recording, moved))


def _read_all(recording: Recording) -> Any:
    if recording.num_frames > MAX_MOTION_SEC * recording.fps:
        raise InputError(
            f"recording must be at most {MAX_MOTION_SEC:g} s long for masks from motion, got "
            f"{recording.num_frames / recording.fps:.0f} s. Split it into episodes, or use clicks "
            "and record contact or masks of the actor."
        )
    return recording.read_frames(0, recording.num_frames)


def _mark_actor(recording: Recording, moved: MovedTarget) -> MaskStore:
    """Mark what looks different, and until half of the way also where it was at rest."""
    actors = MaskStore(recording.size_hw)
    # Half way, what looks different is where the actor was at rest, and where the actor is.
    half_way = (moved.start_frame + moved.touch_frame) // 2
    near_px = max(3, recording.size_hw[0] // 16)
    at_rest = moved.changed_THW[half_way] & ~dilate(moved.target_mask, near_px)
    for frame, changed in enumerate(moved.changed_THW):
        actors.add(frame, changed if frame > half_way else changed | at_rest)
    return actors
