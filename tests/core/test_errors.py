"""Typed errors: their codes, their place in Python's own families, their messages."""

import pytest

from tavid_core import errors
from tavid_core.errors import ErrorCode, MissingExtraError, ShapeError, TavidError, check_shape


@pytest.mark.parametrize(
    ("name", "code", "family"),
    [
        ("InputError", ErrorCode.INVALID_INPUT, ValueError),
        ("ShapeError", ErrorCode.INVALID_INPUT, ValueError),
        ("PromptError", ErrorCode.INVALID_INPUT, ValueError),
        ("ConfigError", ErrorCode.INVALID_INPUT, ValueError),
        ("WeightsError", ErrorCode.MODEL_ERROR, ValueError),
        ("NonFiniteError", ErrorCode.NON_FINITE, ArithmeticError),
        ("ActorNotFoundError", ErrorCode.NO_ACTOR, Exception),
        ("CanceledError", ErrorCode.CANCELED, Exception),
        ("NotReadyError", ErrorCode.NOT_READY, RuntimeError),
        ("StorageError", ErrorCode.UNKNOWN, OSError),
        ("MissingExtraError", ErrorCode.NOT_READY, ImportError),
    ],
)
def test_error_has_its_code_and_family(name, code, family):
    error = getattr(errors, name)
    assert issubclass(error, TavidError)
    assert issubclass(error, family)
    assert error.code is code


def test_unnamed_failures_are_unknown():
    assert TavidError.code is ErrorCode.UNKNOWN


def test_codes_are_unique_and_none_is_zero():
    assert ErrorCode.NONE == 0
    assert len({int(code) for code in ErrorCode}) == len(ErrorCode.__members__)


@pytest.mark.parametrize("actual", [(3, 4), (2, 3, 4), (7, 3, 4)])
def test_fitting_shape_passes(actual):
    expected = (None, 3, 4) if len(actual) == 3 else (3, None)
    check_shape("points", actual, expected, "Reshape them.")


@pytest.mark.parametrize("actual", [(), (3,), (4, 5), (3, 4, 1)])
def test_other_shape_is_refused_with_both_shapes(actual):
    with pytest.raises(ShapeError, match=r"points must have shape \(3, \*\), got") as caught:
        check_shape("points", actual, (3, None), "Reshape them.")
    assert caught.value.actual_shape == actual
    assert caught.value.expected_shape == (3, None)
    assert str(caught.value).endswith("Reshape them.")


def test_missing_extra_says_how_to_install_it():
    error = MissingExtraError.of("mujoco", "train")
    assert "'mujoco' must be installed" in str(error)
    assert "pip install 'tavid[train]'" in str(error)
