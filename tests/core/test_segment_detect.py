"""From a label to a box and a mask, with a real OWL-ViT at tiny size."""

import cv2
import numpy as np
import pytest
import torch

from tavid_core import cli
from tavid_core.errors import ConfigError, InputError, WeightsError
from tavid_core.files import read_mask
from tavid_core.segment_detect import Detection, ZeroShotDetector, make_detector
from tavid_core.segment_grabcut import GrabCutSegmenter
from tavid_core.segment_label import segment_label
from tests.drawn import draw_many_discs, draw_reach
from tests.tiny_detector import MAX_TOKENS, save_tiny_detector, save_tiny_grounding_dino


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_detector(tmp_path_factory.mktemp("detector"))


@pytest.fixture(scope="module")
def image():
    return draw_reach(1, scale=2, noise=3.0).frames[0]


def test_the_places_are_those_of_the_model_best_first(folder, image):
    detector = ZeroShotDetector(folder, min_score=0.0)
    assert detector.name == "owlvit"
    found = detector.detect(image, "  red\n mug ")
    scores = [place.score for place in found]
    assert scores == sorted(scores, reverse=True)
    inputs = detector._processor(text=[["a photo of a red mug"]], images=image, return_tensors="pt")
    with torch.inference_mode():
        answer = detector._network(**inputs)
    best = answer.logits[0, :, 0].sigmoid().max().item()
    assert scores[0] == pytest.approx(best, abs=1e-5)
    height, width = image.shape[:2]
    for place in found:
        x0, y0, x1, y1 = place.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height


def test_grounding_dino_answers_the_same_way(tmp_path, image):
    detector = ZeroShotDetector(save_tiny_grounding_dino(tmp_path), min_score=0.0)
    assert detector.name == "grounding-dino"
    found = detector.detect(image, "Red mug")
    assert found[0].score == max(place.score for place in found)
    height, width = image.shape[:2]
    for place in found:
        assert (place.box >= 0).all()
        assert (place.box <= [width, height, width, height]).all()


def test_what_is_not_there_is_told_with_its_score(folder, image):
    with pytest.raises(InputError, match=r"label must name something .* got 'mug' with 0\.\d+ at"):
        ZeroShotDetector(folder, min_score=0.8).detect(image, "mug")


@pytest.mark.parametrize(
    ("label", "match"),
    [
        (" \n", "label must have 1 to 128 printable"),
        ("a" * 200, "label must have 1 to 128 printable"),
        ("mug\x00", "label must have 1 to 128 printable"),
        ("x" * 60, f"label must be short enough for owlvit .{MAX_TOKENS} tokens"),
    ],
)
def test_unusable_labels_are_refused(folder, image, label, match):
    with pytest.raises(InputError, match=match):
        ZeroShotDetector(folder).detect(image, label)


def test_unusable_detectors_are_refused_with_advice(folder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="detector must name a model for a label, got none"):
        make_detector("")
    for missing in (tmp_path / "nowhere", "./nowhere", "nowhere"):
        with pytest.raises(WeightsError, match="detector must be a folder, or a name on the Hub"):
            make_detector(missing)
    with pytest.raises(WeightsError, match="hf download google/owlvit-base-patch32"):
        make_detector("somebody/nothing")
    with pytest.raises(WeightsError, match="detector must be a whole folder"):
        make_detector(tmp_path)
    with pytest.raises(ConfigError, match="device must be one that torch can use"):
        make_detector(folder, device="quantum")
    with pytest.raises(ConfigError, match=r"min_score must be in 0\.\.1, got 7"):
        make_detector(folder, min_score=7)
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="detector must be a whole folder"):
        make_detector(broken)


class BoxDetector:
    """Knows where things are."""

    name = "box"

    def __init__(self, *boxes):
        self.found = [Detection(box=np.float32(box), score=0.7) for box in boxes]

    def detect(self, image, label):
        return self.found


def test_the_best_box_becomes_the_mask():
    clip = draw_reach(1, scale=4, noise=3.0)
    rows, columns = np.nonzero(clip.masks[2])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    segmenter = GrabCutSegmenter()
    segmenter.set_image(clip.frames[0])
    detector = BoxDetector(box, [4, 4, 30, 30])
    found = segment_label(segmenter, detector, clip.frames[0], "disc")
    truth = clip.masks[2]
    assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.85
    assert found.method == "box+grabcut"
    assert "'disc' found 2 times, the likeliest at (296, 180) with 0.70" in found.describe()


def test_the_command_takes_a_label(folder, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "image.png"), draw_many_discs()[..., ::-1])
    out = tmp_path / "mask.png"
    words = ["segment", "--image", str(tmp_path / "image.png"), "--out", str(out)]
    assert cli.main([*words, "--label", "hand"]) == 2
    assert "detector must name a model for a label" in capsys.readouterr().err
    assert cli.main([*words, "--label", "a", "--point", "3", "3"]) == 2
    assert "label must come without points and box" in capsys.readouterr().err
    assert cli.main([*words, "--label", "red mug", "--detector", str(folder)]) == 0
    line = capsys.readouterr().out
    assert "marked by owlvit+grabcut, score" in line
    assert "'red mug' found" in line
    assert 0.004 < read_mask(out, (256, 256)).mean() < 0.1
