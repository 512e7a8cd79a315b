"""Where a model's folder is, and whether it may be loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from tavid_core.errors import ConfigError, WeightsError
from tavid_core.json_fields import read_json_object

if TYPE_CHECKING:
    import torch

    from tavid_core.pipeline import TargetAwarePipeline

__all__ = [
    "ASSETS",
    "HUB_FILES",
    "HUB_ID",
    "check_model_files",
    "find_adapter_folder",
    "find_model_folder",
    "load_pipeline",
]

ASSETS = Path(__file__).parent / "assets"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")
_SETTINGS = tuple(pattern for pattern in HUB_FILES if pattern != "*.safetensors")
# What a model index may name; diffusers would import whatever library it finds there.
_COMPONENTS = {
    "scheduler": ("diffusers", r"CogVideoX(DPM|DDIM)Scheduler"),
    "text_encoder": ("transformers", r"T5EncoderModel"),
    "tokenizer": ("transformers", r"T5Tokenizer(Fast)?|PreTrainedTokenizerFast|TokenizersBackend"),
    "transformer": ("diffusers", r"CogVideoXTransformer3DModel"),
    "vae": ("diffusers", r"AutoencoderKLCogVideoX"),
}


def find_model_folder(model: str | Path, *, has_weights: bool = True) -> Path:
    """Find the folder of a model; only a Hub id that is no folder here uses the network.

    Args:
        model: "mini" (shipped), a folder, or a Hub id such as "THUDM/CogVideoX-5b-I2V".
        has_weights: False where settings and tokenizer are enough; no others are fetched then.

    Returns:
        The folder.

    Raises:
        WeightsError: If there is none.
    """
    if str(model) == "mini":
        return _shipped("mini")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(model, str) and HUB_ID.fullmatch(model):
        return _download(model, has_weights=has_weights)
    raise WeightsError(
        f"model must be 'mini', a folder or a Hub id, got '{model}'. Check the path, or fetch it: "
        f"tavid download 5b --dest {model}"
    )


def find_adapter_folder(model: str | Path, adapter: str | Path | None) -> Path | None:
    """Find the folder of an adapter.

    Args:
        model: As given to `find_model_folder`.
        adapter: A folder, "default", or one of None, "none" and "" for no adapter.

    Returns:
        The folder, or None for no adapter.

    Raises:
        ConfigError: If "default" is asked for a model that has none.
        WeightsError: If the folder does not exist.
    """
    # Command lines and parameter files have words only: the one says "none", the other "".
    if adapter in (None, "none", ""):
        return None
    if str(adapter) == "default":
        if str(model) != "mini":
            raise ConfigError(
                f"adapter must name a folder for model '{model}', got 'default'. "
                "Only 'mini' is shipped with one; 'none' runs the base model."
            )
        return _shipped("mini_adapter")
    folder = Path(adapter).expanduser()
    if not folder.is_dir():
        raise WeightsError(f"adapter must be a folder, got '{adapter}'. Check the path.")
    return folder


def check_model_files(folder: Path) -> None:
    """Check that a diffusers folder is whole, by its indexes and file headers, without loading it.

    Args:
        folder: Of a CogVideoX image-to-video model.

    Raises:
        WeightsError: If a file is missing or cut off.
    """
    _check_index(folder / "model_index.json")
    for name in ("transformer", "vae", "text_encoder"):
        files = set((folder / name).glob("*.safetensors"))
        for index in sorted((folder / name).glob("*.safetensors.index.json")):
            files |= {folder / name / Path(shard).name for shard in _read_shards(index)}
        for file in sorted(files or {folder / name / "*.safetensors"}):
            try:
                with safetensors.safe_open(file, framework="pt"):
                    pass
            except (OSError, safetensors.SafetensorError) as error:
                raise WeightsError(
                    f"{file} must be a whole safetensors file, got: {str(error).splitlines()[0]} "
                    "Run the same download again; it goes on where it stopped."
                ) from error


def load_pipeline(folder: Path, dtype: torch.dtype) -> TargetAwarePipeline:
    """Load a model from disk: safetensors only, no remote code, no network.

    Args:
        folder: A diffusers folder of a CogVideoX image-to-video model.
        dtype: Of the weights in memory.

    Returns:
        The pipeline, on the CPU, in evaluation mode.

    Raises:
        WeightsError: If the folder is incomplete, damaged, or of another kind of model.
    """
    # Imported here, since it takes seconds, and `tavid download` only checks files.
    from tavid_core.pipeline import TargetAwarePipeline

    _check_index(folder / "model_index.json")
    try:
        pipeline = TargetAwarePipeline.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    except (
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        safetensors.SafetensorError,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{folder} must be a whole CogVideoX folder, got: {reason} Copy it again."
        ) from error
    for name in ("transformer", "vae", "text_encoder"):
        _check_complete(folder / name, getattr(pipeline, name))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _shipped(name: str) -> Path:
    folder = ASSETS / name
    if not folder.is_dir():
        raise WeightsError(
            f"{folder} must hold the shipped weights, got nothing there. Install tavid again."
        )
    return folder


def _download(model: str, *, has_weights: bool) -> Path:
    # Imported here, since the shipped model and local folders need no network code.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    patterns = list(HUB_FILES if has_weights else _SETTINGS)
    failures = (OSError, ValueError, HfHubHTTPError)
    if has_weights:
        try:
            # What is in the cache needs no network, and a robot starts the same every day.
            folder = Path(snapshot_download(model, allow_patterns=patterns, local_files_only=True))
            # It may be settings alone, or what an interrupted download has left.
            check_model_files(folder)
            return folder
        except failures:
            pass
    try:
        return Path(snapshot_download(model, allow_patterns=patterns))
    except failures as error:
        raise WeightsError(
            f"model must be 'mini', a folder or a Hub id that can be fetched, got '{model}': "
            f"{str(error).splitlines()[0]} Fetch it where there is a network, and name the folder: "
            f"tavid download {model} --dest DIR"
        ) from error


def _read_shards(index: Path) -> set[str]:
    try:
        return {str(name) for name in dict(read_json_object(index)["weight_map"]).values()}
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise WeightsError(
            f"{index} must list the files of the weights, got: {error} Download it again."
        ) from error


def _check_complete(folder: Path, module: torch.nn.Module) -> None:
    # The libraries draw what a file lacks at random, and only log it.
    names = set()
    for file in folder.glob("*.safetensors"):
        with safetensors.safe_open(file, framework="pt") as tensors:
            names.update(tensors.keys())
    state = module.state_dict()
    loaded = {state[name].data_ptr() for name in names & state.keys()}
    missing = sorted(name for name, value in state.items() if value.data_ptr() not in loaded)
    if missing:
        raise WeightsError(
            f"{folder} must hold all {len(state)} weights of the model, got none for "
            f"{len(missing)} of them, e.g. '{missing[0]}'. Copy it again."
        )


def _check_index(path: Path) -> None:
    try:
        index = read_json_object(path)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path} must list the parts of a diffusers model, got: {error} Copy the whole folder."
        ) from error
    unknown = sorted(key for key in index if not key.startswith("_") and key not in _COMPONENTS)
    if unknown:
        raise WeightsError(
            f"{path} must name only {sorted(_COMPONENTS)}, got {unknown[:3]} too. "
            "Use a CogVideoX 1.0 image-to-video model."
        )
    for name, (library, classes) in _COMPONENTS.items():
        entry = index.get(name)
        if (
            not isinstance(entry, list)
            or len(entry) != 2
            or entry[0] != library
            or not re.fullmatch(classes, str(entry[1]))
        ):
            raise WeightsError(
                f"{path} must name a {library} class like {classes} as {name}, got {entry}. "
                "Use a CogVideoX 1.0 image-to-video model."
            )
