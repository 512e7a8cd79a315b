"""segment-anything: its real classes at tiny size where the extra is installed, and its absence."""

import contextlib
import sys
import types

import numpy as np
import pytest
import torch

from tavid_core.errors import (
    ConfigError,
    InputError,
    MissingExtraError,
    NotReadyError,
    WeightsError,
)
from tavid_core.segment_sam import SamSegmenter


def find_missing_reason():
    try:
        import segment_anything  # noqa: F401
    except (ImportError, RuntimeError) as error:
        return f"extra sam is not usable here: {error}"
    return ""


MISSING = find_missing_reason()
needs_sam = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def build_tiny_sam(checkpoint=None):
    """Build the real model with two thin layers instead of twelve wide ones."""
    from segment_anything.build_sam import _build_sam

    return _build_sam(
        encoder_embed_dim=32,
        encoder_depth=2,
        encoder_num_heads=2,
        encoder_global_attn_indexes=[1],
        checkpoint=checkpoint,
    )


@pytest.fixture
def tiny_checkpoint(monkeypatch, tmp_path):
    import segment_anything

    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", build_tiny_sam)
    torch.manual_seed(0)
    path = tmp_path / "tiny.pth"
    torch.save(build_tiny_sam().state_dict(), path)
    return path


@needs_sam
def test_an_image_is_embedded_once_for_many_clicks(tiny_checkpoint, monkeypatch):
    segmenter = SamSegmenter(tiny_checkpoint)
    calls = []
    encoder = segmenter._predictor.model.image_encoder
    encoder.register_forward_hook(lambda *_: calls.append(1))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    with pytest.raises(NotReadyError, match="image must be set before a click"):
        segmenter.segment([(20, 20)])
    segmenter.set_image(image)
    for words in (
        {"points": [(20, 20)]},
        {"points": [(20, 20), (50, 30)], "labels": [1, 0]},
        {"box": (5, 5, 40, 30)},
        {"points": [(20, 20)], "box": (5, 5, 40, 30)},
    ):
        # Random weights may mark nothing, and then say so.
        with contextlib.suppress(InputError):
            found = segmenter.segment(**words)
            assert found.method == "sam"
            assert found.mask.shape == (48, 64)
            assert found.mask.dtype == np.bool_
            assert 0 < found.mask.sum() < found.mask.size
            assert 0.0 <= found.score <= 1.0
    assert len(calls) == 1
    with pytest.raises(InputError, match="points must lie in the image"):
        segmenter.segment([(99, 3)])


@needs_sam
def test_bad_checkpoints_are_refused(tiny_checkpoint, tmp_path):
    with pytest.raises(WeightsError, match="must be a file"):
        SamSegmenter(tmp_path / "nowhere.pth")
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    with pytest.raises(WeightsError, match="must be a checkpoint of segment-anything vit_b"):
        SamSegmenter(other)
    code = tmp_path / "code.pth"
    torch.save({"weight": types.SimpleNamespace()}, code)
    with pytest.raises(WeightsError, match="must hold tensors only"):
        SamSegmenter(code)
    with pytest.raises(ConfigError, match="device must be one that torch can use"):
        SamSegmenter(tiny_checkpoint, device="quantum")


class FakePredictor:
    """Answers with three masks: nothing, everything, and a square."""

    def __init__(self, model):
        self.asked = []

    def set_image(self, image, image_format):
        self.size_hw = image.shape[:2]

    def predict(self, point_coords, point_labels, box, multimask_output):
        self.asked.append(multimask_output)
        masks = np.zeros((3, *self.size_hw), dtype=np.bool_)
        masks[1] = True
        masks[2, 4:9, 4:9] = True
        return masks, np.array([0.9, 0.8, 0.7]), None


@pytest.fixture
def fake_sam(monkeypatch, tmp_path):
    module = types.ModuleType("segment_anything")
    module.SamPredictor = FakePredictor
    module.sam_model_registry = {"vit_b": lambda checkpoint: torch.nn.Linear(2, 2)}
    monkeypatch.setitem(sys.modules, "segment_anything", module)
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "fake.pth")
    return tmp_path / "fake.pth"


def test_the_most_likely_usable_mask_is_taken(fake_sam):
    segmenter = SamSegmenter(fake_sam)
    segmenter.set_image(np.zeros((20, 24, 3), np.uint8))
    found = segmenter.segment([(5, 5)])
    assert (int(found.mask.sum()), found.score, found.method) == (25, 0.7, "sam")
    segmenter.segment([(5, 5), (8, 8)])
    segmenter.segment(box=(3, 3, 10, 10))
    assert segmenter._predictor.asked == [True, False, False]


def test_the_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(
        MissingExtraError, match=r"'segment_anything' must be installed.*tavid\[sam"
    ):
        SamSegmenter(tmp_path / "sam.pth")


class BrokenTorchvision:
    """Fails like a torchvision that was built for another torch."""

    def find_spec(self, name, path=None, target=None):
        if name == "segment_anything":
            raise RuntimeError("operator torchvision::nms does not exist")


def test_a_torchvision_of_another_torch_is_told(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "segment_anything", raising=False)
    monkeypatch.setattr(sys, "meta_path", [BrokenTorchvision(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match="torchvision must be built for the installed"):
        SamSegmenter(tmp_path / "sam.pth")
