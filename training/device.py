"""Where a training runs; noise is drawn on the CPU everywhere, so that a seed means the same."""

from __future__ import annotations

import torch

from tavid_core.errors import ConfigError

__all__ = ["half_precision", "pick_device"]


def pick_device(name: str = "auto") -> torch.device:
    """Choose the device of a run.

    Args:
        name: "auto" (the GPU if there is one), "cpu", "cuda" or "cuda:N".

    Returns:
        The device.

    Raises:
        ConfigError: If torch cannot use it here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device must be one that torch can use here, got '{name}': {reason} Use 'cpu'."
        ) from error
    return device


def half_precision(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """Run matrix products in bfloat16.

    Args:
        device: Of the model.
        enabled: False keeps float32.

    Returns:
        A context manager.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
