"""Every problem of a clip folder, found before training starts and told in one report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import av
from tqdm import tqdm

from tavid_core.errors import ConfigError, InputError, TavidError
from training.clips import METADATA_NAME, ClipRecord, parse_record, read_mask
from training.text_lines import split_lines

__all__ = [
    "ClipDemands",
    "ClipProblem",
    "ClipReport",
    "check_clips",
    "check_limit",
    "require_all_good",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipDemands:
    """What a model and a run ask of every clip.

    Args:
        num_frames: Frames of a clip.
        size_hw: Rows and columns of its frames and masks, pixels.
        num_slots: Masks per clip: target, actor, further targets.
        check_caption: Raises `TavidError` for a caption that does not fit.
    """

    num_frames: int
    size_hw: tuple[int, int]
    num_slots: int
    check_caption: Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class ClipProblem:
    """Why a clip cannot be used.

    Args:
        line: Of `metadata.jsonl`, from 1.
        file_name: Of the clip, or "" where the line names none.
        reason: What is wrong.
    """

    line: int
    file_name: str
    reason: str

    def __str__(self) -> str:
        """Write one line."""
        return f"line {self.line} {self.file_name}: {self.reason}".replace(" :", ":")


@dataclasses.dataclass(frozen=True)
class ClipReport:
    """What a check found.

    Args:
        records: Clips that can be used.
        problems: Of those that cannot; one clip may have several.
    """

    records: tuple[ClipRecord, ...]
    problems: tuple[ClipProblem, ...]

    def require_good(self, *, skip_bad: bool, title: str = "clips") -> tuple[ClipRecord, ...]:
        """Give the clips that can be used.

        Args:
            skip_bad: Whether to go on without the bad ones.
            title: What they are, for the message.

        Returns:
            The good clips.

        Raises:
            InputError: If a clip is bad and none may be skipped, or no clip is good; names all
                problems.
        """
        if self.records and (skip_bad or not self.problems):
            return self.records
        told = "\n".join(f"  {problem}" for problem in self.problems)
        num_bad = len({problem.line for problem in self.problems})
        advice = "Repair them, or go on without them: --skip-bad."
        raise InputError(
            f"{title} must all be usable, got {num_bad} of {num_bad + len(self.records)} that are "
            f"not:\n{told}\n{advice if self.records else 'Repair them.'}"
        )


def require_all_good(
    training: ClipReport, validation: ClipReport | None, *, skip_bad: bool
) -> tuple[ClipRecord, ...]:
    """Give the clips to train on, if those of the validation are good too.

    Args:
        training: What was found of the training clips.
        validation: Of the clips to validate on, none of which may be bad; or None.
        skip_bad: Whether to train without the bad ones.

    Returns:
        The good training clips.

    Raises:
        InputError: If clips of either cannot be used; names the problems of both.
    """
    told = []
    for report, title, may_skip in (
        (training, "clips", skip_bad),
        (validation, "validation clips", False),
    ):
        try:
            if report is not None:
                report.require_good(skip_bad=may_skip, title=title)
        except InputError as error:
            told.append(str(error))
    if told:
        raise InputError("\n".join(told))
    return training.records


def check_limit(name: str, limit: int | None) -> None:
    """Refuse to look at no clips.

    Args:
        name: What the caller calls the number.
        limit: How many of the first clips are used; None = all.

    Raises:
        ConfigError: If it is less than 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(
            f"{name} must be at least 1, got {limit}. Give 1 or more, or leave it out."
        )


def check_clips(folder: Path, demands: ClipDemands, limit: int | None = None) -> ClipReport:
    """Look at every clip: its line, video, masks, caption and contact.

    Every frame of every video is decoded, for a defect in the middle would end the run later.

    Args:
        folder: Clip folder.
        demands: Of model and run.
        limit: Look at the first clips only.

    Returns:
        Good clips and problems.

    Raises:
        InputError: If there is no `metadata.jsonl`, or it is not text.
        ConfigError: If the limit is less than 1.
    """
    check_limit("limit", limit)
    path = folder / METADATA_NAME
    try:
        lines = split_lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"clip folder must hold a readable {METADATA_NAME}, got {error}. "
            "Make one with python -m training.sources.sim --out FOLDER."
        ) from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    good, problems = [], []
    for number, line in tqdm(numbered[:limit], "check clips", unit="clip", leave=False):
        try:
            record = parse_record(line)
        except InputError as error:
            problems.append(ClipProblem(number, "", str(error)))
            continue
        reasons = _find_reasons(folder, record, demands)
        problems += [ClipProblem(number, record.file_name, reason) for reason in reasons]
        if not reasons:
            good.append(record)
    return ClipReport(tuple(good), tuple(problems))


def _find_reasons(folder: Path, record: ClipRecord, demands: ClipDemands) -> list[str]:
    kinds = ["mask", "actor mask", *(f"mask of slot {n + 3}" for n in range(demands.num_slots))]
    names = zip(kinds, record.mask_names(demands.num_slots), strict=False)
    reasons = [
        _check_video(folder / record.file_name, demands),
        *(_check_mask(folder, what, name, demands) for what, name in names),
        _check_text(record, demands),
        _check_contact(record, demands),
    ]
    return [reason for reason in reasons if reason]


def _check_video(path: Path, demands: ClipDemands) -> str:
    if not path.is_file():
        return "the video is missing"
    try:
        with av.open(str(path)) as container:
            # On all cores: a data set of large clips takes minutes on one.
            container.streams.video[0].thread_type = "AUTO"
            sizes_hw = [(frame.height, frame.width) for frame in container.decode(video=0)]
    except (av.FFmpegError, OSError, IndexError) as error:
        return f"the video cannot be read ({error})"
    if len(sizes_hw) != demands.num_frames:
        return f"the video has {len(sizes_hw)} frames, {demands.num_frames} are needed"
    for size_hw in sizes_hw:
        if size_hw != demands.size_hw:
            return f"the video is {_size(size_hw)}, {_size(demands.size_hw)} is needed"
    return ""


def _check_mask(folder: Path, what: str, name: str | None, demands: ClipDemands) -> str:
    if name is None:
        return f"there is no {what}"
    try:
        mask = read_mask(folder, name)
    except InputError:
        return f"the {what} {name} is missing or cannot be read"
    if mask.shape != demands.size_hw:
        return f"the {what} is {_size(mask.shape)}, {_size(demands.size_hw)} is needed"
    if not mask.any():
        return f"the {what} is empty"
    if mask.all():
        return f"the {what} marks everything"
    return ""


def _check_text(record: ClipRecord, demands: ClipDemands) -> str:
    try:
        demands.check_caption(record.text)
    except TavidError as error:
        return f"the caption does not fit ({error})"
    return ""


def _check_contact(record: ClipRecord, demands: ClipDemands) -> str:
    frame = record.contact_frame
    if frame is None or 0 < frame < demands.num_frames:
        return ""
    if frame <= 0:
        return "the actor touches the target in the first frame already"
    return f"the actor does not touch the target (contact in frame {frame})"


def _size(size_hw: tuple[int, ...]) -> str:
    return f"{size_hw[1]} x {size_hw[0]} pixels"
