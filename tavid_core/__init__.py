"""Target-aware video diffusion as an action planner: the ROS-free core."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tavid_core.errors import (
    ActorNotFoundError,
    CanceledError,
    ConfigError,
    ErrorCode,
    InputError,
    MissingExtraError,
    NonFiniteError,
    NotReadyError,
    PromptError,
    ShapeError,
    TavidError,
    WeightsError,
)
from tavid_core.types import (
    BodyFit,
    CameraIntrinsics,
    Contact,
    InteractionMotion,
    InteractionPlan,
    MotionSegment,
    PlanProgress,
    PlanRequest,
    PointTrack,
    Rollout,
)

if TYPE_CHECKING:
    from tavid_core.io import load_plan, save_plan
    from tavid_core.lifting.lift import lift
    from tavid_core.pipeline import TargetAwarePipeline
    from tavid_core.planner import InteractionPlanner

__all__ = [
    "ActorNotFoundError",
    "BodyFit",
    "CameraIntrinsics",
    "CanceledError",
    "ConfigError",
    "Contact",
    "ErrorCode",
    "InputError",
    "InteractionMotion",
    "InteractionPlan",
    "InteractionPlanner",
    "MissingExtraError",
    "MotionSegment",
    "NonFiniteError",
    "NotReadyError",
    "PlanProgress",
    "PlanRequest",
    "PointTrack",
    "PromptError",
    "Rollout",
    "ShapeError",
    "TargetAwarePipeline",
    "TavidError",
    "WeightsError",
    "lift",
    "load_plan",
    "save_plan",
]

# Loaded when first asked for: torch and diffusers take seconds, video and pictures some tenths.
_LAZY = {
    "InteractionPlanner": "tavid_core.planner",
    "TargetAwarePipeline": "tavid_core.pipeline",
    "lift": "tavid_core.lifting.lift",
    "load_plan": "tavid_core.io",
    "save_plan": "tavid_core.io",
}


def __getattr__(name: str) -> Any:
    """Load a heavy name."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tavid_core' has no attribute '{name}'")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
