"""Convert the files of a source to one clip folder: parallel, resumable, reproducible.

`OUT/conversion` holds what is known of every file; `metadata.jsonl` is written last, of all of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tavid_core.errors import InputError
from training.clips import METADATA_NAME
from training.sources.conversion_report import ConversionReport
from training.sources.cut_rules import CutRules
from training.sources.job import PARTS, run_job
from training.sources.job_pool import run_in_processes
from training.sources.job_stamp import stamp_job
from training.sources.job_state import (
    STATE,
    JobResult,
    read_progress,
    read_result,
    result_path,
    write_atomically,
    write_result,
)
from training.sources.recording import RecordingJob, check_name
from training.sources.report_page import write_report

__all__ = ["Shard", "assemble", "convert", "list_shards"]

FORMAT = 1
BAR_FORMAT = "{l_bar}{bar}| {n:.1f}/{total_fmt} {unit}s [{elapsed}<{remaining}{postfix}]"


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the files this process converts.

    Args:
        index: From 1.
        count: Of parts.

    Raises:
        InputError: If the index is out of range.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Check the range."""
        if not 1 <= self.index <= self.count <= 100_000:
            raise InputError(
                f"shard must be K/N with 1 <= K <= N, got {self.index}/{self.count}. "
                "The first of four is 1/4."
            )


def convert(
    jobs: Sequence[RecordingJob],
    out: Path,
    rules: CutRules,
    *,
    workers: int = 2,
    shard: Shard | None = None,
    settings: Mapping[str, Any] | None = None,
    restart: bool = False,
) -> ConversionReport:
    """Cut the clips of all files.

    An interrupted conversion goes on when it is called again: a file that was done, and is the
    same still, is not done again. A file that cannot be read is reported, and the others go on.

    Args:
        jobs: One per file.
        out: Clip folder; new, empty, or of an earlier call with the same rules.
        rules: What makes a clip.
        workers: Processes at a time; 0 for none but this one.
        shard: Convert a part of the files only; `assemble` joins the parts. None for all.
        settings: What else decides the clips, such as a topic map; JSON values.
        restart: Throw away what earlier calls have written, and begin again. A shard throws away
            its own part; all of it where the rules are others.

    Returns:
        What was kept and left out, of this shard.

    Raises:
        InputError: If names are not unique or unsafe, `out` holds something else, was begun with
            other rules, or is being written by another process.
    """
    jobs = _sort_jobs(jobs)
    _check_folder(out)
    part = shard or Shard()
    mine = jobs[part.index - 1 :: part.count]
    with _lock(out, f"{part.index}-of-{part.count}"):
        with _lock(out, "rules", wait=True):
            is_new = _keep_rules(out, rules, settings or {}, restart)
            if restart and not is_new:
                _forget(out, mine, part)
        todo = [job for job in mine if _is_to_do(out, job)]
        if len(todo) < len(mine):
            told = f"{len(mine) - len(todo)} of {len(mine)} files were done before"
            tqdm.write(told, file=sys.stderr)
        _run(todo, out, rules, workers)
        names = [job.name for job in mine]
        write_atomically(
            out / STATE / "shards" / f"{part.index}-of-{part.count}.json", json.dumps(names) + "\n"
        )
        if part.count == 1:
            return assemble(out, names)
    return ConversionReport.of(_read_results(out, names))


def assemble(out: Path, names: Sequence[str]) -> ConversionReport:
    """Write the report and, last, `metadata.jsonl` from the results of all files.

    Args:
        out: Clip folder.
        names: Of the jobs, in the order wanted.

    Returns:
        What was kept and left out.

    Raises:
        InputError: If a result is missing.
    """
    report = ConversionReport.of(_read_results(out, names))
    write_report(out, report)
    lines = [clip.record.to_json() for result in report.results for clip in result.clips]
    if lines:
        write_atomically(out / METADATA_NAME, "\n".join(lines) + "\n")
    else:
        (out / METADATA_NAME).unlink(missing_ok=True)
    return report


def list_shards(out: Path) -> list[str]:
    """List the jobs of a folder whose shards are all done.

    Args:
        out: Clip folder.

    Returns:
        Names of the jobs, sorted.

    Raises:
        InputError: If a shard is missing, or shards were cut in different ways.
    """
    paths = sorted((out / STATE / "shards").glob("*-of-*.json"))
    counts = {path.stem.split("-of-")[1] for path in paths}
    if len(counts) != 1:
        raise InputError(
            f"{out} must hold shards of one count, got {sorted(counts) or 'none'}. "
            "Run every shard K/N with the same N."
        )
    count = int(counts.pop())
    missing = sorted(set(range(1, count + 1)) - {int(path.stem.split("-of-")[0]) for path in paths})
    if missing:
        raise InputError(
            f"{out} must hold all {count} shards, got none for {missing[:20]}. "
            f"Run them: --shard {missing[0]}/{count}."
        )
    return sorted(name for path in paths for name in json.loads(path.read_text(encoding="utf-8")))


def _sort_jobs(jobs: Sequence[RecordingJob]) -> list[RecordingJob]:
    if not jobs:
        raise InputError("source must have at least one file, got none. Check its folder.")
    for job in jobs:
        check_name("job name", job.name)
    ordered = sorted(jobs, key=lambda job: job.name)
    names = [job.name for job in ordered]
    twice = sorted({name for name, after in itertools.pairwise(names) if name == after})
    if twice:
        raise InputError(f"job names must differ, got {twice[:5]} twice. Number them.")
    return ordered


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"out must be a folder, got the file {out}. Name another.")
    if out.is_dir() and any(out.iterdir()) and not (out / STATE).is_dir():
        raise InputError(
            f"out must be new, empty or of an earlier conversion, got {out}, which holds something "
            "else. Name another folder."
        )


@contextlib.contextmanager
def _lock(out: Path, name: str, *, wait: bool = False) -> Iterator[None]:
    (out / STATE).mkdir(parents=True, exist_ok=True)
    with (out / STATE / f"lock-{name}").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"out must be written by one process, got a second one for {out}. Wait for it, or "
                "give each its own --shard K/N."
            ) from error
        yield


def _keep_rules(out: Path, rules: CutRules, settings: Mapping[str, Any], restart: bool) -> bool:
    """Write the rules down, or compare them; tells whether the folder begins anew."""
    wanted = json.loads(
        json.dumps({"format": FORMAT, **dataclasses.asdict(rules), "settings": dict(settings)})
    )
    path = out / STATE / "rules.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = None
    except ValueError:
        found = {}
    found = found if found is None or isinstance(found, dict) else {}
    if found == wanted:
        return False
    if found is not None:
        if not restart:
            keys = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
            raise InputError(
                f"rules must be those with which {out} was begun, got another value of "
                f"{', '.join(keys)}. Name another folder, or throw these clips away: --restart."
            )
        _forget_all(out)
    write_atomically(path, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    return True


def _forget_all(out: Path) -> None:
    for part in PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
    for part in ("jobs", "shards"):
        shutil.rmtree(out / STATE / part, ignore_errors=True)
    (out / METADATA_NAME).unlink(missing_ok=True)


def _forget(out: Path, jobs: Sequence[RecordingJob], shard: Shard) -> None:
    if shard.count == 1:
        _forget_all(out)
    # Other shards of the same call may be at work: what is theirs stays.
    for job in jobs:
        result_path(out, job.name).unlink(missing_ok=True)


def _is_to_do(out: Path, job: RecordingJob) -> bool:
    path = result_path(out, job.name)
    if not path.exists():
        return True
    result = read_result(path)
    # What failed is tried again: the file may have been repaired.
    return bool(result.error) or result.stamp != stamp_job(job)


def _run(jobs: Sequence[RecordingJob], out: Path, rules: CutRules, workers: int) -> None:
    num_clips, running = 0, {job.name for job in jobs}
    with tqdm(
        total=len(jobs), desc="convert", unit="file", disable=not jobs, bar_format=BAR_FORMAT
    ) as bar:

        def show() -> None:
            done = len(jobs) - len(running)
            # A file that is done takes its own number back just before it is counted.
            bar.n = max(bar.n, done + sum(read_progress(out, name) for name in running))
            bar.refresh()

        calls = [(job, out, rules) for job in jobs]
        num_workers = min(workers, max(1, len(jobs)))
        for index, kept in run_in_processes(run_job, calls, num_workers, show):
            running.discard(jobs[index].name)
            if kept is None:
                name = jobs[index].name
                error = "reading it killed the process, for want of memory as a rule"
                write_result(out, JobResult(name=name, stamp="", error=error))
            num_clips += kept or 0
            bar.set_postfix(clips=num_clips, refresh=False)
            show()


def _read_results(out: Path, names: Sequence[str]) -> list[JobResult]:
    results = []
    for name in names:
        path = result_path(out, name)
        if not path.exists():
            raise InputError(f"{out} must hold the result of {name}, got none. Convert again.")
        results.append(read_result(path))
    return results
