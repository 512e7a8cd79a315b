"""Where a training runs; noise is drawn on the CPU everywhere, so that a seed means the same."""

from __future__ import annotations

from pathlib import Path

import torch

from tavid_core.errors import ConfigError

__all__ = ["half_precision", "has_fast_bfloat16", "is_half_precision", "pick_device"]


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


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether a device multiplies matrices of bfloat16 faster than float32.

    A CPU without instructions for it takes 20 times as long.

    Args:
        device: Of the model.

    Returns:
        True for GPUs, and for CPUs with avx512_bf16 or amx_bf16.
    """
    if device.type != "cpu":
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def is_half_precision(device: torch.device, *, enabled: bool | None = None) -> bool:
    """Say whether matrix products are in bfloat16.

    Args:
        device: Of the model.
        enabled: What the run says; None leaves it to the device.

    Returns:
        True for bfloat16, false for the type of the weights.
    """
    return has_fast_bfloat16(device) if enabled is None else enabled


def half_precision(device: torch.device, *, enabled: bool | None = None) -> torch.autocast:
    """Run matrix products in bfloat16.

    Args:
        device: Of the model.
        enabled: False keeps float32, None too where bfloat16 is not faster.

    Returns:
        A context manager.
    """
    is_on = is_half_precision(device, enabled=enabled)
    return torch.autocast(device.type, torch.bfloat16, enabled=is_on)
