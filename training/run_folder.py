"""The folder of a run: which configuration it belongs to, and whether to go on in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tavid_core.errors import ConfigError, StorageError
from training.checkpoints import Checkpoints, write_durably

__all__ = ["RESUME_MODES", "claim_run_folder", "flatten"]

RESUME_MODES = ("auto", "require", "never")
RUN_FILE = "run.json"


def flatten(config: object, prefix: str = "") -> dict[str, Any]:
    """List the fields of nested dataclasses.

    Args:
        config: A dataclass.
        prefix: Of the names.

    Returns:
        Values by dotted name.
    """
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            fields |= flatten(value, f"{prefix}{field.name}.")
        else:
            fields[prefix + field.name] = value
    return fields


def claim_run_folder(folder: Path, identity: Mapping[str, object], resume: str = "auto") -> None:
    """Make the folder this run's, or check that it is.

    Args:
        folder: Of the run; made if missing.
        identity: All that decides what is trained, by name; JSON values.
        resume: "auto" goes on from the newest good checkpoint, or begins; "require" wants one;
            "never" wants none.

    Raises:
        ConfigError: If the folder is of another configuration (what differs is named), does not
            say of which, or its checkpoints are not what `resume` wants.
        StorageError: If it cannot be written.
    """
    checkpoints = Checkpoints(folder)
    if resume == "never" and checkpoints.any():
        raise ConfigError(
            f"run folder must be empty for --resume never, got checkpoints in {folder}. "
            "Name another --out, or delete it."
        )
    if resume == "require" and checkpoints.newest() is None:
        raise ConfigError(
            f"run folder must hold a good checkpoint for --resume, got none in {folder}. "
            "Leave --resume out to begin."
        )
    plain = json.loads(json.dumps(dict(identity)))
    path = folder / RUN_FILE
    if checkpoints.any():
        _check_same(path, plain)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, (json.dumps(plain, indent=1) + "\n").encode())
    except OSError as error:
        raise StorageError(f"{path} must be writable, got: {error}. Free some space.") from error


def _check_same(path: Path, identity: Mapping[str, object]) -> None:
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path} must say what run the checkpoints beside it are of, got: {error}. "
            "Name another --out, or delete the checkpoints to begin anew."
        ) from error
    # A name that only one of them has comes from another version.
    differing = [
        f"{name} was {before[name]}, is {identity[name]}"
        for name in identity
        if name in before and before[name] != identity[name]
    ]
    if differing:
        raise ConfigError(
            f"run folder must be of this configuration, got {path.parent} where "
            f"{'; '.join(differing)}. Name another --out, or set them back."
        )
