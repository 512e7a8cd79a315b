"""Where the pictures of camera_node come from: a scene, an image, a folder, a video, episodes."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tavid_core
from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.errors import InputError
from tavid_core.files import read_camera, read_depth, read_image, read_mask
from tavid_core.json_fields import read_json_object
from tavid_core.types import CameraIntrinsics
from tavid_ros.episodes import list_episodes
from tavid_ros.parameters import CameraParameters
from tavid_ros.video_frames import read_video_frames

__all__ = ["DEFAULT_SCENE", "Picture", "Pictures", "find_scene", "list_scenes", "open_source"]

_SCENES = Path(tavid_core.__file__).parent / "assets" / "scenes"
DEFAULT_SCENE = "three_boxes"
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
# Beyond every training, validation and held-out scene.
_FIRST_WORLD_SEED = 50_000_000
_NUM_WORLD_SCENES = 100
_WORLD_COMMAND = (sys.executable, "-m", "training.sources.sim.export_scenes")
_WORLD_TIMEOUT_SEC = 120.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """What the camera sees at one moment.

    Args:
        image: RGB, uint8 (H, W, 3).
        mask: The target, bool (H, W), or None.
        depth_m: float32 (H, W), metres, NaN = unknown, or None.
        intrinsics: Of the image, or None.
        prompt: What should happen, or "".
        actor_mask: Who interacts, bool (H, W), or None.
        is_contact: Whether the actor touches the target, or None.
        is_first: Whether an episode begins here.
        is_last: Whether an episode ends here.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None = None
    depth_m: NDArray[np.float32] | None = None
    intrinsics: CameraIntrinsics | None = None
    prompt: str = ""
    actor_mask: NDArray[np.bool_] | None = None
    is_contact: bool | None = None
    is_first: bool = False
    is_last: bool = False


Pictures = Generator[Picture, None, None]


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
        name_or_path: Name of a shipped scene, a folder, or "" for `DEFAULT_SCENE`.

    Returns:
        A folder with scene.json.

    Raises:
        InputError: If there is none.
    """
    names = list_scenes()
    name_or_path = name_or_path or DEFAULT_SCENE
    for folder in (_SCENES / name_or_path, Path(name_or_path).expanduser()):
        if (folder / "scene.json").is_file():
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


def _read_scene(parameters: CameraParameters) -> Pictures:
    folder = find_scene(parameters.path)
    image = read_image(folder / "image.png")
    size_hw = image.shape[:2]
    prompt = parameters.prompt or _read_prompt(folder / "scene.json")
    depth_path, camera_path = folder / "depth.png", folder / "camera.json"
    actor_path = folder / "actor_mask.png"
    yield Picture(
        image=image,
        mask=read_mask(folder / "mask.png", size_hw),
        depth_m=_read_depth(depth_path, size_hw) if depth_path.exists() else None,
        intrinsics=read_camera(camera_path) if camera_path.exists() else None,
        prompt=prompt,
        actor_mask=read_mask(actor_path, size_hw, "actor mask") if actor_path.exists() else None,
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


def _read_single(parameters: CameraParameters) -> Pictures:
    yield _make_picture(read_image(Path(parameters.path).expanduser()), parameters)


def _read_folder(parameters: CameraParameters) -> Pictures:
    folder = Path(parameters.path).expanduser()
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise InputError(
            f"path must be a folder of JPEG or PNG files, got none in {folder}. Check it."
        )
    for path in paths:
        yield _make_picture(read_image(path), parameters)


def _read_video(parameters: CameraParameters) -> Pictures:
    for _, frame in read_video_frames(Path(parameters.path).expanduser()):
        yield _make_picture(frame, parameters)


def _read_episodes(parameters: CameraParameters) -> Pictures:
    for episode in list_episodes(Path(parameters.path).expanduser()):
        intrinsics = episode.read_camera()
        is_first = True
        for frame in episode.frames():
            yield Picture(
                image=frame.image,
                mask=frame.target_mask,
                intrinsics=intrinsics,
                prompt=parameters.prompt or episode.text,
                actor_mask=frame.actor_mask,
                is_contact=frame.is_contact,
                is_first=is_first,
                is_last=frame.is_last,
            )
            is_first = False


class _Drawing:
    """A process that draws one scene of the mini world."""

    def __init__(self, seed: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tavid-world-")
        self._deadline_sec = time.monotonic() + _WORLD_TIMEOUT_SEC
        words = ["--seed", str(seed), "--out", f"{self._folder.name}/scene"]
        try:
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    [*_WORLD_COMMAND, *words], stdout=log, stderr=subprocess.STDOUT
                )
        except OSError as error:
            self._folder.cleanup()
            raise _make_world_error(str(error)) from error

    @property
    def _log_path(self) -> Path:
        return Path(self._folder.name) / "log"

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None and time.monotonic() < self._deadline_sec

    def read(self, parameters: CameraParameters) -> Picture:
        """Wait for the picture, up to the deadline."""
        try:
            status = self._process.wait(max(0.0, self._deadline_sec - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise _make_world_error(f"nothing within {_WORLD_TIMEOUT_SEC:g} s") from error
        if status != 0:
            said = self._log_path.read_text(errors="replace").strip().splitlines()
            raise _make_world_error((said or ["no reason given"])[-1])
        return next(_read_scene(dataclasses.replace(parameters, path=f"{self._folder.name}/scene")))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def _make_world_error(reason: str) -> InputError:
    return InputError(
        f"source must be one that runs here, got 'world', which said: {reason}. "
        "Start from a checkout with the extra 'train' and libosmesa6."
    )


def _read_world(parameters: CameraParameters) -> Pictures:
    """Draw one scene after another of the mini world, each in a process of its own.

    Drawing takes seconds; until the next picture is there, the one before comes again.

    The world belongs to the training code, which the nodes do not import and which is not
    installed: this source works from a checkout.
    """
    if parameters.path and not parameters.path.isdecimal():
        raise InputError(
            f"path must be empty or the first seed of source world, got {parameters.path!r}. "
            "Give a number of 0 or more."
        )
    first_seed = int(parameters.path or _FIRST_WORLD_SEED)
    picture: Picture | None = None
    seeds = range(first_seed, first_seed + _NUM_WORLD_SCENES)
    for seed in itertools.cycle(seeds) if parameters.loop else seeds:
        drawing = _Drawing(seed)
        try:
            while picture is not None and drawing.is_running:
                yield picture
            picture = drawing.read(parameters)
        finally:
            # Also when nobody wants more pictures.
            drawing.end()
        yield picture


_SOURCES: dict[str, Callable[[CameraParameters], Pictures]] = {
    "scene": _read_scene,
    "image": _read_single,
    "folder": _read_folder,
    "video": _read_video,
    "episodes": _read_episodes,
    "world": _read_world,
}


def open_source(parameters: CameraParameters) -> Pictures:
    """Read pictures, one after the other, each when it is asked for.

    Args:
        parameters: Of camera_node.

    Returns:
        The pictures, once through; a single one for a scene or an image. Close it if you do not
        want all of them.

    Raises:
        InputError: On the first use or later, if a file is missing or unusable.
    """
    return _SOURCES[parameters.source](parameters)
