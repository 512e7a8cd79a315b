"""Write the captions of clips: `python -m training.caption CLIPS --with template|endpoint|cogvlm2`.

The sentence of the slot words is no part of a caption; training adds it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from tavid_core.errors import ConfigError, InputError, TavidError
from training.captioners import (
    QUESTION,
    Captioner,
    CogVlm2Captioner,
    EndpointCaptioner,
    TemplateCaptioner,
)
from training.clips import METADATA_NAME, read_frames, read_records
from training.sources.job_state import write_atomically
from training.text_lines import split_lines

__all__ = ["caption_clips", "main", "read_labels"]

PROGRESS_NAME = "captions.jsonl"
# A model that is not there answers none; one that stumbles over a clip answers the next.
MAX_FAILURES_IN_A_ROW = 5

EXAMPLES = """examples:
  # labels.csv has the columns file_name,verb,noun
  python -m training.caption CLIPS --with template --template "A person {verb} the {noun}." \\
      --labels labels.csv

  # any OpenAI-compatible server on your network
  python -m training.caption CLIPS --with endpoint --url http://gpu-box:8000/v1 --model NAME

  # CogVLM2-Caption on a GPU; its folder brings code of its own
  python -m training.caption CLIPS --with cogvlm2 --model cogvlm2-llama3-caption --allow-remote-code

exit codes: 0 all clips have a new caption, 2 nothing was done, 3 some keep their old one
"""


def caption_clips(folder: Path, captioner: Captioner) -> list[str]:
    """Write a new caption for every clip of a folder.

    Each answer is kept at once in `captions.jsonl`, so that a call that was interrupted goes on;
    `metadata.jsonl` is replaced as a whole in the end.

    Args:
        folder: Clip folder.
        captioner: What writes them.

    Returns:
        Why a clip keeps its old caption, one line for each such clip.

    Raises:
        InputError: If the folder is unusable, or the captioner fails on many clips in a row.
    """
    records = read_records(folder)
    settings = json.dumps(captioner.settings, sort_keys=True)
    key = hashlib.sha256(settings.encode()).hexdigest()[:16]
    path = folder / PROGRESS_NAME
    known = _read_progress(path, key)
    failures: list[str] = []
    num_in_a_row = 0
    is_torn = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as progress:
        # A stop may have torn the last line: the next answer must not become a part of it.
        progress.write("\n" if is_torn else "")
        for record in tqdm(records, "captions", unit="clip"):
            if record.file_name in known:
                continue
            try:
                text = captioner.caption(record, read_frames(folder, record))
            except InputError as error:
                failures.append(f"{record.file_name}: {error}")
                num_in_a_row += 1
                if num_in_a_row >= MAX_FAILURES_IN_A_ROW:
                    raise InputError(
                        f"captioner must answer, got {num_in_a_row} failures in a row, the last: "
                        f"{error}"
                    ) from error
                continue
            num_in_a_row = 0
            known[record.file_name] = text
            line = {"key": key, "file_name": record.file_name, "text": text}
            progress.write(json.dumps(line, ensure_ascii=False) + "\n")
            progress.flush()
    lines = [
        dataclasses.replace(record, text=known.get(record.file_name, record.text)).to_json()
        for record in records
    ]
    write_atomically(folder / METADATA_NAME, "\n".join(lines) + "\n")
    if not failures:
        # The next call, with the same settings too, shall ask again.
        path.unlink()
    return failures


def _read_progress(path: Path, key: str) -> dict[str, str]:
    """Read what an interrupted call has got; its last line may be torn."""
    known: dict[str, str] = {}
    if not path.is_file():
        return known
    for line in split_lines(path.read_text(encoding="utf-8", errors="replace")):
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(fields, dict) and fields.get("key") == key:
            name, text = fields.get("file_name"), fields.get("text")
            if isinstance(name, str) and isinstance(text, str):
                known[name] = text
    return known


def read_labels(path: Path) -> dict[str, dict[str, str]]:
    """Read labels.

    Args:
        path: CSV with the column `file_name` and others.

    Returns:
        Columns by file name.

    Raises:
        InputError: If it cannot be read or has no such column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"labels must be a CSV file, got {error}. Check it.") from error
    labels: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        name = row.get("file_name")
        if not name or name in labels:
            raise InputError(
                f"labels line {number} must have a file_name of its own, got {name!r}. Correct it."
            )
        labels[name] = {k: v for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
    return labels


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.caption",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clips", type=Path, metavar="CLIPS", help="clip folder")
    parser.add_argument(
        "--with", dest="backend", choices=("template", "endpoint", "cogvlm2"), required=True
    )
    parser.add_argument("--template", default="", help="with {text}, {source}, or label columns")
    parser.add_argument("--labels", type=Path, metavar="FILE.csv", help="for a template")
    parser.add_argument("--url", default="", help="of an endpoint, such as http://gpu-box:8000/v1")
    parser.add_argument("--model", default="", help="name at the endpoint; or folder of cogvlm2")
    parser.add_argument("--question", default=QUESTION, help="what a model is asked")
    parser.add_argument(
        "--key-variable",
        default="",
        metavar="NAME",
        help="environment variable that holds the endpoint's key",
    )
    parser.add_argument(
        "--allow-remote-code",
        action="store_true",
        help="let the code beside cogvlm2's weights run on this machine",
    )
    parser.add_argument("--device", default="cuda", help="for cogvlm2")
    return parser


def _make_captioner(options: argparse.Namespace, environment: Mapping[str, str]) -> Captioner:
    if options.backend == "template":
        if not options.template:
            raise ConfigError("template must be given, got none. Add --template SENTENCE.")
        labels = {} if options.labels is None else read_labels(options.labels)
        return TemplateCaptioner(options.template, labels)
    if not options.model:
        raise ConfigError(f"model must be named for {options.backend}, got none. Add --model.")
    if options.backend == "endpoint":
        key = environment.get(options.key_variable, "") if options.key_variable else ""
        return EndpointCaptioner(options.url, options.model, options.question, key=key)
    return CogVlm2Captioner(
        options.model,
        allows_remote_code=options.allow_remote_code,
        device=options.device,
        question=options.question,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    options = _make_parser().parse_args(arguments)
    try:
        failures = caption_clips(options.clips, _make_captioner(options, os.environ))
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    for failure in failures:
        print(f"keeps its caption: {failure}", file=sys.stderr)
    return 3 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
