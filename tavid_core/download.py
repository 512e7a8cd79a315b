"""Fetch a model from the Hugging Face Hub once, so that a robot never has to."""

from __future__ import annotations

import re
from pathlib import Path

from tavid_core.errors import ConfigError, WeightsError

__all__ = ["MODELS", "download_model"]

# What `--model` and presets are known by, and where it is.
MODELS = {"5b": "THUDM/CogVideoX-5b-I2V"}
_REVISION = re.compile(r"[\w][\w./-]*")


def download_model(model: str, folder: Path, *, revision: str = "main") -> Path:
    """Fetch a model into a folder; goes on where an interrupted download stopped.

    Weights and settings only, nothing executable. The Hub's own variables hold: HF_HUB_OFFLINE,
    HF_ENDPOINT, HF_TOKEN.

    Args:
        model: A name of `MODELS` or a Hub id.
        folder: Where to.
        revision: Branch, tag or commit; a commit stays what it is.

    Returns:
        The folder, whole.

    Raises:
        ConfigError: If the name or the revision can be none.
        WeightsError: If it cannot be fetched, or what is there is no whole model.
    """
    # Imported here, since everything else works without network code, and the help without torch.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    from tavid_core.model_folder import HUB_FILES, HUB_ID, check_model_files

    hub_id = MODELS.get(model, model)
    if not HUB_ID.fullmatch(hub_id):
        raise ConfigError(
            f"model must be one of {', '.join(MODELS)} or a Hub id, got '{model}'. "
            f"Try {next(iter(MODELS))}."
        )
    if not _REVISION.fullmatch(revision):
        raise ConfigError(f"revision must be a branch, tag or commit, got '{revision}'. Try main.")
    try:
        snapshot_download(
            hub_id, revision=revision, local_dir=folder, allow_patterns=list(HUB_FILES)
        )
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"model must be one that can be fetched, got '{hub_id}' at '{revision}': {reason} "
            "Check name and network; the same command goes on where this one stopped."
        ) from error
    # Without a network the Hub's library takes whatever is there for the model.
    check_model_files(folder)
    return folder
