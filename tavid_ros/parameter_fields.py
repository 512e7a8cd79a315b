"""How the parameters of a node are written down: fields of a dataclass that know their range."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tavid_core.errors import ConfigError

__all__ = ["check_choices", "parameter_field"]


def parameter_field(
    default: bool | int | float | str | tuple[str, ...],
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    is_fixed: bool = False,
) -> Any:
    """Make the field of a parameter.

    Args:
        default: Its value unless somebody sets it.
        description: What it is for, one sentence.
        low: Smallest value, or None.
        high: Largest value; goes with `low`.
        choices: The words that are possible; empty = any.
        is_fixed: Whether it is read at the start only.

    Returns:
        The field of a dataclass.
    """
    metadata = {
        "description": description,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "is_fixed": is_fixed,
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_choices(parameters: object) -> None:
    """Refuse a word that is not among the choices of its parameter.

    Args:
        parameters: A dataclass of `parameter_field`s.

    Raises:
        ConfigError: If one is; the message names it.
    """
    for field in dataclasses.fields(parameters):
        value, choices = getattr(parameters, field.name), field.metadata["choices"]
        if choices and value not in choices:
            raise ConfigError(
                f"{field.name} must be one of {', '.join(choices)}, got {value!r}. "
                "Choose one of these."
            )
