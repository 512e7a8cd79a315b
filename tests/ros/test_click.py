"""`click`: a target from the terminal, and words when there is none."""

from __future__ import annotations

import threading

import pytest

from tavid_ros import click
from tests.ros.segmenter_bench import Bench


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def namespace_of(bench):
    return ["--ros-args", "-r", f"__ns:={bench.node.get_namespace()}"]


def test_a_click_waits_for_an_image_and_says_what_was_marked(bench, capsys):
    bench.start()
    x, y = bench.clip.object_pixels[0, 0]
    # The camera comes after the click.
    threading.Timer(2.0, bench.show).start()
    assert click.main([str(x), str(y), *namespace_of(bench)]) == 0
    assert "marked by grabcut, score" in capsys.readouterr().out
    assert bench.wait_mask(1).any()
    assert click.main(["--label", "red mug", *namespace_of(bench)]) == 1
    assert "error: INVALID_INPUT: detector must name a model" in capsys.readouterr().err


def test_a_missing_segmenter_is_told(bench, capsys):
    words = ["3", "3", "--timeout", "0.2", *namespace_of(bench)]
    assert click.main(words) == 1
    assert "a segmenter must be there within 0.2 s, got none at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "give a pixel, --box or --label"),
        (["3"], "give one pixel, X Y"),
        (["--box", "5", "5", "5", "9"], "a box goes from X0 Y0 to X1 Y1"),
        (["--box", "-1", "5", "5", "9"], "a box goes from X0 Y0 to X1 Y1"),
    ],
)
def test_wrong_words_are_explained(words, match, capsys):
    with pytest.raises(SystemExit):
        click.main(words)
    assert match in capsys.readouterr().err
