"""The figure that plots are drawn into."""

from __future__ import annotations

import sys

import pytest

from tavid_core.errors import MissingExtraError
from training.figure import start_figure


def test_it_has_its_size_and_one_plot():
    pytest.importorskip("matplotlib")
    figure, axes = start_figure(7, 3.5)
    assert tuple(figure.get_size_inches()) == (7.0, 3.5)
    assert figure.axes == [axes]


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"'matplotlib' must be installed .*tavid\[viz\]"):
        start_figure(7, 3.5)
