"""Where the pictures of camera_node come from: a scene, an image, a folder of images, a video."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tavid_core
from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.errors import InputError, MissingExtraError
from tavid_core.files import read_camera, read_depth, read_image, read_mask
from tavid_core.json_fields import read_json_object
from tavid_core.types import MAX_IMAGE_SIDE_PX, CameraIntrinsics
from tavid_ros.parameters import CameraParameters

__all__ = ["Picture", "find_scene", "list_scenes", "open_source"]

_SCENES = Path(tavid_core.__file__).parent / "assets" / "scenes"
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
# Beyond every training, validation and held-out scene.
_FIRST_WORLD_SEED = 50_000_000
_NUM_WORLD_SCENES = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """What the camera sees at one moment.

    Args:
        image: RGB, uint8 (H, W, 3).
        mask: The target, bool (H, W), or None.
        depth_m: float32 (H, W), metres, NaN = unknown, or None.
        intrinsics: Of the image, or None.
        prompt: What should happen, or "".
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    depth_m: NDArray[np.float32] | None = None
    intrinsics: CameraIntrinsics | None = None
    prompt: str = ""


def _read_depth(path: Path, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    depth_m = read_depth(path)
    if depth_m.shape != size_hw:
        raise InputError(
            f"depth must have the image's {size_hw[1]}x{size_hw[0]} pixels, got "
            f"{depth_m.shape[1]}x{depth_m.shape[0]}: {path}. Register it to the image."
        )
    return depth_m


def list_scenes() -> list[str]:
    """Name the shipped scenes.

    Returns:
        Names for `find_scene`, sorted.
    """
    return sorted(path.parent.name for path in _SCENES.glob("*/scene.json"))


def find_scene(name_or_path: str) -> Path:
    """Find a scene folder.

    Args:
        name_or_path: Name of a shipped scene, a folder, or "" for the first shipped scene.

    Returns:
        A folder with scene.json.

    Raises:
        InputError: If there is none.
    """
    names = list_scenes()
    if not name_or_path and names:
        return _SCENES / names[0]
    for folder in (_SCENES / name_or_path, Path(name_or_path).expanduser()):
        if name_or_path and (folder / "scene.json").is_file():
            return folder
    raise InputError(
        f"scene must be a folder with scene.json or one of {', '.join(names) or '(none shipped)'}, "
        f"got {name_or_path!r}. Check the path."
    )


def _read_prompt(path: Path) -> str:
    try:
        return str(read_json_object(path).get("prompt", ""))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path.name} must be a JSON object, got {error}: {path}. Repair it."
        ) from error


def _read_scene(parameters: CameraParameters) -> Iterator[Picture]:
    folder = find_scene(parameters.path)
    image = read_image(folder / "image.png")
    size_hw = image.shape[:2]
    prompt = parameters.prompt or _read_prompt(folder / "scene.json")
    depth_path, camera_path = folder / "depth.png", folder / "camera.json"
    yield Picture(
        image=image,
        mask=read_mask(folder / "mask.png", size_hw),
        depth_m=_read_depth(depth_path, size_hw) if depth_path.exists() else None,
        intrinsics=read_camera(camera_path) if camera_path.exists() else None,
        prompt=prompt,
    )


def _make_picture(image: NDArray[np.uint8], parameters: CameraParameters) -> Picture:
    height, width = image.shape[:2]
    mask = intrinsics = None
    if parameters.mask_path:
        mask = read_mask(Path(parameters.mask_path).expanduser(), (height, width))
    if parameters.field_of_view_deg:
        guess = intrinsics_from_field_of_view(width, height, parameters.field_of_view_deg)
        # The user measured it, so it counts as a calibration.
        intrinsics = dataclasses.replace(guess, is_assumed=False)
    return Picture(image=image, mask=mask, intrinsics=intrinsics, prompt=parameters.prompt)


def _read_single(parameters: CameraParameters) -> Iterator[Picture]:
    yield _make_picture(read_image(Path(parameters.path).expanduser()), parameters)


def _read_folder(parameters: CameraParameters) -> Iterator[Picture]:
    folder = Path(parameters.path).expanduser()
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise InputError(
            f"path must be a folder of JPEG or PNG files, got none in {folder}. Check it."
        )
    for path in paths:
        yield _make_picture(read_image(path), parameters)


def _read_video(parameters: CameraParameters) -> Iterator[Picture]:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError.of("av", "dev") from error
    path = Path(parameters.path).expanduser()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if max(stream.width, stream.height) > MAX_IMAGE_SIDE_PX:
                raise InputError(
                    f"video must have sides of at most {MAX_IMAGE_SIDE_PX} pixels, got "
                    f"{stream.width}x{stream.height}. Scale {path} down."
                )
            for frame in container.decode(stream):
                yield _make_picture(frame.to_ndarray(format="rgb24"), parameters)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"path must be a video file, got {error}: {path}. Check it.") from error


def _read_world(parameters: CameraParameters) -> Iterator[Picture]:
    """Draw one scene after another of the mini world, each in a process of its own.

    The world belongs to the training code, which the nodes do not import and which is not
    installed: this source works from a checkout.
    """
    first_seed = int(parameters.path) if parameters.path.isdecimal() else _FIRST_WORLD_SEED
    for seed in range(first_seed, first_seed + _NUM_WORLD_SCENES):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "training.sources.sim.export_scenes"]
            drawn = subprocess.run(
                [*command, "--seed", str(seed), "--out", folder],
                capture_output=True,
                text=True,
                check=False,
                timeout=120.0,
            )
            if drawn.returncode != 0:
                reason = (drawn.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise InputError(
                    "source must be one that runs here, got 'world', which said: "
                    f"{reason}. Start from a checkout with the extra 'train' and libosmesa6."
                )
            yield from _read_scene(dataclasses.replace(parameters, path=folder))


_SOURCES: dict[str, Callable[[CameraParameters], Iterator[Picture]]] = {
    "scene": _read_scene,
    "image": _read_single,
    "folder": _read_folder,
    "video": _read_video,
    "world": _read_world,
}


def open_source(parameters: CameraParameters) -> Iterator[Picture]:
    """Read pictures, one after the other, each when it is asked for.

    Args:
        parameters: Of camera_node.

    Returns:
        The pictures, once through; a single one for a scene or an image.

    Raises:
        InputError: On the first use or later, if a file is missing or unusable.
    """
    return _SOURCES[parameters.source](parameters)
