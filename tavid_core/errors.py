"""Typed errors: what went wrong, with which value, and what to do about it.

Every message follows one template::

    "{argument} must {rule}, got {value}. {what to do}"

Each class carries the `code` that the ROS action reports, so that a failure keeps its
meaning from the line that raised it to the robot program that asked for the plan.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

__all__ = [
    "ActorNotFoundError",
    "CanceledError",
    "ConfigError",
    "ErrorCode",
    "InputError",
    "MissingExtraError",
    "NonFiniteError",
    "NotReadyError",
    "PromptError",
    "ShapeError",
    "StorageError",
    "TavidError",
    "WeightsError",
    "check_shape",
]


class ErrorCode(enum.IntEnum):
    """Name the outcome of a plan request; equal to the constants of the action's result."""

    NONE = 0
    UNKNOWN = 1
    INVALID_INPUT = 2
    BUSY = 3
    CANCELED = 4
    TIMEOUT = 5
    NO_ACTOR = 6
    OUT_OF_MEMORY = 7
    MODEL_ERROR = 8
    NON_FINITE = 9
    STALE_INPUT = 10
    NOT_READY = 11
    SHUTTING_DOWN = 12
    WORKER_DIED = 13
    SUPERSEDED = 14
    CLIENT_LOST = 15


class TavidError(Exception):
    """Base of every error that tavid raises on purpose.

    Attributes:
        code: What the action's result reports for this error.
    """

    code: ErrorCode = ErrorCode.UNKNOWN


class InputError(TavidError, ValueError):
    """An argument of the caller is unusable."""

    code = ErrorCode.INVALID_INPUT


class ShapeError(InputError):
    """An array has another shape than its neighbours demand.

    Attributes:
        actual_shape: The shape that was passed.
        expected_shape: The shape that would be right; `None` stands for any length.
    """

    def __init__(
        self,
        message: str,
        actual_shape: Sequence[int] = (),
        expected_shape: Sequence[int | None] = (),
    ) -> None:
        super().__init__(message)
        self.actual_shape = tuple(actual_shape)
        self.expected_shape = tuple(expected_shape)


class PromptError(InputError):
    """The prompt has no usable target token."""


class ConfigError(TavidError, ValueError):
    """A configuration value is outside what the model or node can do."""

    code = ErrorCode.INVALID_INPUT


class WeightsError(TavidError, ValueError):
    """A weights file is missing, damaged, or made for another model."""

    code = ErrorCode.MODEL_ERROR


class NonFiniteError(TavidError, ArithmeticError):
    """Latents, frames or motion hold NaN or infinity."""

    code = ErrorCode.NON_FINITE


class ActorNotFoundError(TavidError):
    """No actor (person or arm) is visible, so there is no motion to lift."""

    code = ErrorCode.NO_ACTOR


class CanceledError(TavidError):
    """The caller asked to stop; not a failure."""

    code = ErrorCode.CANCELED


class StorageError(TavidError, OSError):
    """A file cannot be written: the disk is full, a quota is used up, a folder is read-only."""


class NotReadyError(TavidError, RuntimeError):
    """A call came before the call that it depends on."""

    code = ErrorCode.NOT_READY


class MissingExtraError(TavidError, ImportError):
    """An optional dependency is not installed; the message names the extra."""

    code = ErrorCode.NOT_READY

    @classmethod
    def of(cls, module: str, extra: str) -> MissingExtraError:
        """Say which extra brings `module`.

        Args:
            module: The import that failed.
            extra: The name of the extra in pyproject.toml.

        Returns:
            The error, ready to be raised.
        """
        return cls(
            f"'{module}' must be installed for this, got an ImportError. "
            f"Install it with: pip install 'tavid[{extra}]'"
        )


def check_shape(
    name: str, actual_shape: Sequence[int], expected_shape: Sequence[int | None], advice: str
) -> None:
    """Refuse an array of another shape.

    Args:
        name: What the caller called the array.
        actual_shape: The shape that was passed.
        expected_shape: The demanded shape; `None` admits any length on that axis.
        advice: One sentence that says what to do.

    Raises:
        ShapeError: If number of axes or a fixed length differ.
    """
    actual, expected = tuple(actual_shape), tuple(expected_shape)
    fits = len(actual) == len(expected) and all(
        want is None or got == want for got, want in zip(actual, expected, strict=True)
    )
    if not fits:
        shown = "(" + ", ".join("*" if n is None else str(n) for n in expected) + ")"
        raise ShapeError(
            f"{name} must have shape {shown}, got {actual}. {advice}", actual, expected
        )
