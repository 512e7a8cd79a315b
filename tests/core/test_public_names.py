"""The names others build on: none may vanish, and importing the package stays cheap."""

import subprocess
import sys

import pytest

import tavid_core

PUBLIC = {
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
}


def test_public_names_are_these():
    assert set(tavid_core.__all__) == PUBLIC
    assert set(dir(tavid_core)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_resolves(name):
    assert getattr(tavid_core, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Teleporter'"):
        tavid_core.Teleporter  # noqa: B018


def test_import_is_light():
    code = "import sys, tavid_core; print({'torch', 'diffusers', 'cv2', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
