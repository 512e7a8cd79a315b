"""`tavid segment`: from a click to the mask that `tavid plan` reads."""

import cv2
import numpy as np
import pytest

from tavid_core import cli
from tavid_core.files import read_image, read_mask
from tests.drawn import draw_reach


@pytest.fixture
def clip():
    return draw_reach(1, scale=3)


@pytest.fixture
def words(clip, tmp_path):
    cv2.imwrite(str(tmp_path / "image.png"), clip.frames[0][..., ::-1])
    out = tmp_path / "new" / "mask.png"
    return ["segment", "--image", str(tmp_path / "image.png"), "--out", str(out)]


def test_mask_and_overlay_are_written_and_the_line_says_how(words, clip, tmp_path, capsys):
    x, y = clip.object_pixels[0, 1]
    overlay = tmp_path / "look.png"
    assert cli.main([*words, "--point", str(x), str(y), "--overlay", str(overlay)]) == 0
    line = capsys.readouterr().out.strip()
    assert "marked by grabcut, score" in line
    assert line.endswith(f"mask in {tmp_path / 'new' / 'mask.png'}")
    mask = read_mask(tmp_path / "new" / "mask.png", clip.frames[0].shape[:2])
    truth = clip.masks[1]
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    changed = (read_image(overlay) != clip.frames[0]).any(axis=2)
    assert changed[mask].mean() > 0.9


def test_box_and_clicks_beside_are_used(words, clip, tmp_path):
    rows, columns = np.nonzero(clip.masks[0])
    box = [columns.min() - 4, rows.min() - 4, columns.max() + 5, rows.max() + 5]
    assert cli.main([*words, "--box", *map(str, box), "--not-point", "3", "3"]) == 0
    mask = read_mask(tmp_path / "new" / "mask.png", clip.frames[0].shape[:2])
    truth = clip.masks[0]
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ([], "points must hold a click on the target"),
        (["--point", "900", "3"], "points must lie in the image"),
        (["--point", "nan", "3"], "points must be finite"),
        (["--point", "3", "3", "--out", "mask.jpg"], "out must end with .png"),
        (["--point", "3", "3", "--image", "no.png"], "image must be a readable file"),
        (["--point", "3", "3", "--method", "sam"], "checkpoint must name"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, capsys, more, match):
    assert cli.main([*words, *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert match in captured.err


def test_the_image_is_never_overwritten(words, tmp_path, capsys):
    image = str(tmp_path / "image.png")
    assert cli.main([*words, "--point", "3", "3", "--overlay", image]) == 2
    assert "overlay must be another file than the image" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["segment", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "tavid segment --image kitchen.png --point 350 380" in out
    assert "--not-point" in out
