"""Parameters: one place for defaults, files that agree with it, launch files that use them."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest
from rclpy.parameter import parameter_dict_from_yaml_file

from tavid_core.errors import ConfigError
from tavid_ros.parameters import CameraParameters, PlannerParameters, SegmenterParameters
from tavid_ros.recorder_parameters import RecorderParameters

ROOT = Path(__file__).resolve().parents[2]
NODE_LAUNCH = ROOT / "tavid_ros" / "node_launch.py"
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))


def read_yaml(name: str) -> dict[str, object]:
    """Read a parameter file with ROS's own reader."""
    parameters = parameter_dict_from_yaml_file(str(ROOT / "config" / name), use_wildcard=True)
    from rclpy.parameter import Parameter

    return {key: Parameter.from_parameter_msg(message).value for key, message in parameters.items()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("planner.yaml", PlannerParameters),
        ("segmenter.yaml", SegmenterParameters),
        ("camera.yaml", CameraParameters),
        ("recorder.yaml", RecorderParameters),
    ],
)
def test_files_hold_the_defaults(name, kind):
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in read_yaml(name).items()
    }
    assert values == dataclasses.asdict(kind())
    for field in dataclasses.fields(kind):
        assert type(values[field.name]) is type(field.default), field.name


@pytest.mark.parametrize(
    "name", sorted(path.name for path in (ROOT / "config").glob("planner_*.yaml"))
)
def test_presets_are_possible_and_can_be_chosen(name):
    PlannerParameters(**read_yaml(name))
    launch = (ROOT / "launch" / "planner.launch.py").read_text(encoding="utf-8")
    assert f'"{name.removeprefix("planner_").removesuffix(".yaml")}"' in launch


@pytest.mark.parametrize(
    "kind", [PlannerParameters, SegmenterParameters, CameraParameters, RecorderParameters]
)
def test_ranges_hold_the_defaults(kind):
    for field in dataclasses.fields(kind):
        low, high = field.metadata["low"], field.metadata["high"]
        assert field.metadata["description"].endswith((".", ")")), field.name
        if low is not None:
            assert low <= field.default <= high, field.name


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"backend": "os.system"}, "backend must be one of tavid, fake, got 'os.system'"),
        ({"dtype": "int4"}, "dtype must be one of float32"),
        ({"playback_loop": True, "playback_rate": 0.0}, "playback_rate must be above 0 for"),
        ({"num_frames": 16}, r"num_frames must be 0 or 8n\+1 with n >= 1, got 16"),
    ],
)
def test_impossible_values_are_refused(values, match):
    with pytest.raises(ConfigError, match=match):
        PlannerParameters(**values)


@pytest.mark.parametrize(
    ("topics", "match"),
    [((), "topics must be 1 to 64 names, got 0"), (("a b",), "names of topics, got 'a b'")],
)
def test_a_recorder_wants_names_of_topics(topics, match):
    with pytest.raises(ConfigError, match=match):
        RecorderParameters(topics=topics)


@pytest.mark.parametrize("path", [*LAUNCH_FILES, NODE_LAUNCH], ids=lambda path: path.name)
def test_launch_files_start_what_exists(path):
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "Node":
            continue
        words = {keyword.arg: keyword.value for keyword in call.keywords}
        if isinstance(words["executable"], ast.Constant) and words["package"].value == "tavid":
            assert (ROOT / "tavid_ros" / f"{words['executable'].value}.py").exists()


def test_launch_folder_is_no_package():
    assert not (ROOT / "launch" / "__init__.py").exists()
