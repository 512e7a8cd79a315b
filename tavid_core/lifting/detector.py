"""The embedded keypoint detector: a small heatmap network for the mini world's actors.

It has seen nothing but that world. On other pictures its confidence is the only thing to go by:
below `MIN_CONFIDENCE` the lifting says that no actor was found.

Shape suffixes: T frames, K keypoints, C channels, H x W network input, h x w heatmap.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from tavid_core.errors import WeightsError, check_shape
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.people import find_people

__all__ = ["HeatmapDetector", "HeatmapNetwork"]

DEFAULT_PATH = Path(__file__).parent.parent / "assets" / "mini_keypoints.safetensors"
INPUT_HW = (64, 96)
STRIDE = 2
# In cells: farther from the highest peak than this, another one is that of something else.
NEAR_CELLS = 4
# Mean height of a second head or shoulder. One person gives 0.02 at most.
CROWD_PEAK = 0.2
CROWD_NAMES = ("head", "left_shoulder", "right_shoulder")


def _block(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class HeatmapNetwork(nn.Module):
    """Predict one heatmap per keypoint at half the input's size.

    Args:
        num_keypoints: K.
        width: Channels of the first level.
    """

    def __init__(self, num_keypoints: int, width: int = 24) -> None:
        super().__init__()
        # Not `half`: nn.Module has a method of that name.
        self.half_level = nn.Sequential(_block(3, width), _block(width, width, stride=2))
        self.quarter_level = _block(width, 2 * width, stride=2)
        # The context decides which arm is which: the eighth level sees the whole picture.
        self.eighth_level = nn.Sequential(
            _block(2 * width, 3 * width, stride=2),
            _block(3 * width, 3 * width, dilation=2),
            _block(3 * width, 3 * width, dilation=3),
        )
        self.up_quarter = _block(5 * width, 2 * width)
        self.up_half = _block(3 * width, 2 * width)
        self.head = nn.Conv2d(2 * width, num_keypoints, 1)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Predict heatmap logits.

        Args:
            images_BCHW: RGB, float32 in -1..1.

        Returns:
            Logits (B, K, h, w).
        """
        half = self.half_level(images_BCHW)
        quarter = self.quarter_level(half)
        eighth = functional.interpolate(self.eighth_level(quarter), scale_factor=2.0)
        quarter = self.up_quarter(torch.cat([quarter, eighth], dim=1))
        quarter = functional.interpolate(quarter, scale_factor=2.0)
        return self.head(self.up_half(torch.cat([half, quarter], dim=1)))


class HeatmapDetector:
    """Find the keypoints of one actor in every frame.

    Args:
        network: In eval mode.
        names: Of its keypoints, in the order of its heatmaps.
    """

    def __init__(self, network: HeatmapNetwork, names: tuple[str, ...]) -> None:
        self.network, self.names = network.eval(), names

    @classmethod
    def from_pretrained(cls, path: str | Path = DEFAULT_PATH) -> HeatmapDetector:
        """Load a detector.

        Args:
            path: safetensors whose metadata names the keypoints; the shipped one by default.

        Returns:
            The detector, on the CPU.

        Raises:
            WeightsError: If the file is missing, damaged or of another network.
        """
        path = Path(path)
        try:
            tensors = load_file(path)
            meta = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            names = tuple(str(name) for name in meta["names"])
            network = HeatmapNetwork(len(names), int(meta["width"]))
            network.load_state_dict(tensors)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            RuntimeError,
            SafetensorError,
        ) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(
                f"{path.name} must hold the keypoint network, got: {reason}. Install tavid again, "
                "or train it with python -m training.pretrain_keypoints."
            ) from error
        return cls(network, names)

    def save(self, path: Path) -> None:
        """Write the network (float16) and, beside it, the names of its keypoints.

        Args:
            path: The safetensors file.
        """
        state = self.network.state_dict()
        save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
        meta = {"names": list(self.names), "width": self.network.head.in_channels // 2}
        path.with_suffix(".json").write_text(json.dumps(meta) + "\n", encoding="utf-8")

    def __call__(self, frames: NDArray[np.uint8]) -> Keypoints:
        """Detect.

        Args:
            frames: RGB, uint8 (T, H, W, 3), any size.

        Returns:
            Keypoints in the pixels of `frames`; confidence is the height of the heatmap's peak less
            that of the next one elsewhere.
        """
        check_shape("frames", frames.shape, (None, None, None, 3), "Stack RGB frames.")
        return find_people(self._detect_one, frames)

    @torch.inference_mode()
    def _detect_one(self, frames: NDArray[np.uint8]) -> Keypoints:
        height, width = frames.shape[1:3]
        small = np.stack(
            [cv2.resize(f, INPUT_HW[::-1], interpolation=cv2.INTER_AREA) for f in frames]
        )
        images = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        heatmaps_TKhw = self.network(images).sigmoid().numpy()
        peaks, heights = _peaks(heatmaps_TKhw)
        others = _second_heights(heatmaps_TKhw)
        marks = [k for k, name in enumerate(self.names) if name in CROWD_NAMES]
        # Centre of a heatmap cell, then centre of a pixel of the caller's size.
        scale = np.array([width / INPUT_HW[1], height / INPUT_HW[0]]) * STRIDE
        pixels = (peaks + 0.5) * scale - 0.5
        return Keypoints(
            names=self.names,
            pixels=pixels.astype(np.float32),
            confidence=(heights - others).astype(np.float32),
            is_crowded=bool((others[:, marks].mean(axis=0) >= CROWD_PEAK).any()),
        )


def _peaks(heatmaps_TKhw: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find maxima, refined by the centre of mass of the 3 x 3 cells around them."""
    num_frames, num_keypoints, _, width = heatmaps_TKhw.shape
    best = heatmaps_TKhw.reshape(num_frames, num_keypoints, -1).argmax(-1)
    rows, columns = np.divmod(best, width)
    padded = np.pad(heatmaps_TKhw, ((0, 0), (0, 0), (1, 1), (1, 1)))
    t, k = np.indices(best.shape)
    total = np.zeros(best.shape)
    offset = np.zeros((*best.shape, 2))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            weight = padded[t, k, rows + 1 + dy, columns + 1 + dx].astype(np.float64)
            total += weight
            offset += weight[..., None] * np.array([dx, dy])
    peaks = np.stack([columns, rows], axis=-1) + offset / np.maximum(total, 1e-9)[..., None]
    return peaks, heatmaps_TKhw[t, k, rows, columns].astype(np.float64)


def _second_heights(heatmaps_TKhw: NDArray[np.float32]) -> NDArray[np.float64]:
    """Height of the highest place that does not belong to the first peak."""
    num_frames, num_keypoints, height, width = heatmaps_TKhw.shape
    best = heatmaps_TKhw.reshape(num_frames, num_keypoints, -1).argmax(-1)
    row, column = (part[..., None, None] for part in np.divmod(best, width))
    rows, columns = np.mgrid[:height, :width]
    is_far = np.maximum(np.abs(rows - row), np.abs(columns - column)) > NEAR_CELLS
    return np.where(is_far, heatmaps_TKhw, 0.0).max(axis=(2, 3))
