import numpy as np
import pytest
import torch

from tavid_core.errors import ShapeError, WeightsError
from tavid_core.lifting.detector import HeatmapDetector, HeatmapNetwork
from tavid_core.lifting.keypoints import KEYPOINT_NAMES


def make_detector():
    torch.manual_seed(0)
    return HeatmapDetector(HeatmapNetwork(len(KEYPOINT_NAMES), width=8), KEYPOINT_NAMES)


@pytest.mark.parametrize("size_hw", [(64, 96), (480, 720), (50, 90)])
def test_keypoints_are_in_the_pixels_of_the_frames(size_hw):
    frames = np.random.default_rng(0).integers(0, 256, (3, *size_hw, 3), dtype=np.uint8)
    found = make_detector()(frames)
    assert found.names == KEYPOINT_NAMES
    assert found.pixels.shape == (3, 7, 2)
    assert found.pixels.min() >= -0.5 * size_hw[0]
    assert (found.pixels <= np.array(size_hw[::-1]) * 1.02).all()


def test_a_saved_detector_finds_the_same(tmp_path):
    detector = make_detector()
    detector.network.half()
    detector.network.float()
    detector.save(tmp_path / "d.safetensors")
    frames = np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    again = HeatmapDetector.from_pretrained(tmp_path / "d.safetensors")
    np.testing.assert_allclose(again(frames).pixels, detector(frames).pixels, atol=1e-3)


def test_frames_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"frames must have shape"):
        make_detector()(np.zeros((64, 96, 3), np.uint8))


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "d.safetensors"
    make_detector().save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.with_suffix(".json").write_text('{"names": ["head"], "width": 8}')
    with pytest.raises(WeightsError, match=r"d\.safetensors must hold the keypoint network"):
        HeatmapDetector.from_pretrained(path)
