"""Parameters: one place for defaults, files that agree with it, launch files that use them."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
from pathlib import Path

import pytest
from rclpy.parameter import parameter_dict_from_yaml_file

from tavid_core.errors import ConfigError
from tavid_ros.parameters import CameraParameters, PlannerParameters, SegmenterParameters
from tavid_ros.recorder_parameters import RecorderParameters

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
HAS_LAUNCH = all(importlib.util.find_spec(name) for name in ("launch", "launch_ros"))


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


def list_calls(path: Path, name: str) -> list[ast.Call]:
    tree = ast.parse(path.read_text())
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name
    ]


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_describe_their_arguments_and_start_what_exists(path):
    arguments = list_calls(path, "DeclareLaunchArgument")
    assert arguments
    for call in arguments:
        words = {keyword.arg: keyword.value for keyword in call.keywords}
        assert words["description"].value, ast.unparse(call)
        assert "default_value" in words
    for call in list_calls(path, "Node"):
        words = {keyword.arg: keyword.value for keyword in call.keywords}
        if words["package"].value == "rviz2":
            continue
        assert words["package"].value == "tavid"
        assert (ROOT / "tavid_ros" / f"{words['executable'].value}.py").exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("planner.launch.py", PlannerParameters), ("segmenter.launch.py", SegmenterParameters)],
)
def test_launch_arguments_name_real_parameters(name, kind):
    tree = ast.parse((ROOT / "launch" / name).read_text())
    overrides = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "OVERRIDES"
    )
    assert set(overrides) <= {field.name for field in dataclasses.fields(kind)}


@pytest.mark.skipif(not HAS_LAUNCH, reason="launch and launch_ros are not installable from PyPI")
@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_load(path):
    spec = importlib.util.spec_from_file_location("description", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities


def test_launch_folder_is_no_package():
    assert not (ROOT / "launch" / "__init__.py").exists()
