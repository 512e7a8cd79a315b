"""The launch files: which parameters win, what is remapped, and that they really start nodes."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import rclpy

from tests.source_tree import ROOT

needs_launch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("launch", "launch_ros")),
    reason="needs launch and launch_ros, which are not on PyPI",
)

# Runs a launch file and stops it again as soon as its processes have been started.
PROBE = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessStart
from launch.launch_description_sources import PythonLaunchDescriptionSource

def tell(event, context):
    print("STARTED", *event.cmd, flush=True)
    return Shutdown()

arguments = dict(word.split(":=", 1) for word in sys.argv[2:])
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService(argv=[])
service.include_launch_description(LaunchDescription([
    RegisterEventHandler(OnProcessStart(on_start=tell)),
    IncludeLaunchDescription(source, launch_arguments=arguments.items()),
]))
sys.exit(service.run())
"""


@dataclasses.dataclass
class Stub:
    """Keeps what an action of the launch system was made of."""

    words: tuple
    options: dict

    def __init__(self, *words, **options):
        self.words, self.options = words, options


class StubConfiguration(Stub):
    """Gives the value that the context holds."""

    def perform(self, context):
        return context[self.words[0]]


# What the launch files import, per module; they are all that is needed of the launch system here.
STUBS = {
    "launch": {"Action": Stub, "LaunchContext": dict, "LaunchDescription": Stub},
    "launch.actions": dict.fromkeys(
        (
            "DeclareLaunchArgument",
            "GroupAction",
            "IncludeLaunchDescription",
            "OpaqueFunction",
            "RegisterEventHandler",
            "SetEnvironmentVariable",
        ),
        Stub,
    ),
    "launch.conditions": {"IfCondition": Stub},
    "launch.event_handlers": {"OnProcessExit": Stub},
    "launch.launch_description_sources": {"PythonLaunchDescriptionSource": Stub},
    "launch.substitutions": {"EnvironmentVariable": Stub, "LaunchConfiguration": StubConfiguration},
    "launch_ros": {},
    "launch_ros.actions": {"Node": Stub},
    "ament_index_python": {},
    "ament_index_python.packages": {"get_package_share_directory": lambda package: str(ROOT)},
}


@pytest.fixture
def load(monkeypatch):
    """Loads a launch file of the source tree, with stand-ins for the launch system."""
    for name, names in STUBS.items():
        module = types.ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)

    def load_file(name):
        path = ROOT / "launch" / f"{name}.launch.py"
        spec = importlib.util.spec_from_file_location(f"{name}_launch", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_file


def make_context(module, **given):
    """All arguments with their defaults, and some given."""
    defaults = {a.words[0]: a.options["default_value"] for a in module.ARGUMENTS}
    assert set(given) <= set(defaults)
    for argument in module.ARGUMENTS:
        value = given.get(argument.words[0], argument.options["default_value"])
        assert value in argument.options.get("choices", [value]), argument.words[0]
    return defaults | given


def make_planner(load, **given):
    """Options of the planner's node for some arguments."""
    module = load("planner")
    (node,) = module.make_node(make_context(module, **given))
    return node.options


def file_names(parameters):
    """Names of the parameter files, in their order."""
    return [Path(entry).name for entry in parameters if isinstance(entry, str)]


@pytest.mark.parametrize("name", ["planner", "segmenter", "demo"])
def test_every_argument_has_a_default_and_a_description(load, name):
    module = load(name)
    for argument in module.ARGUMENTS:
        assert argument.options["description"].endswith("."), argument.words[0]
        assert isinstance(argument.options["default_value"], str), argument.words[0]
    described = module.generate_launch_description().words[0]
    assert described[: len(module.ARGUMENTS)] == module.ARGUMENTS


def test_without_arguments_the_file_of_the_defaults_says_everything(load):
    options = make_planner(load)
    assert options["parameters"] == [str(ROOT / "config" / "planner.yaml")]
    assert options["respawn"] is False


def test_later_parameters_count_more(load, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**: {ros__parameters: {seed: 7}}\n")
    options = make_planner(
        load, preset="5b", params_file=str(own), model="/models/a", autostart="false"
    )
    assert file_names(options["parameters"]) == ["planner.yaml", "planner_5b.yaml", "own.yaml"]
    assert options["parameters"][-1] == {"model": "/models/a", "autostart": False}
    assert all(Path(path).is_file() for path in options["parameters"][:-1])


@pytest.mark.parametrize("key", ["/**", "planner", "/planner"])
def test_rclpy_lets_the_later_source_win_however_it_names_the_node(load, tmp_path, key):
    own = tmp_path / "own.yaml"
    own.write_text(f"{key}: {{ros__parameters: {{seed: 7, model: own, device: cpu}}}}\n")
    *files, words = make_planner(load, preset="5b", params_file=str(own), model="argument")[
        "parameters"
    ]
    # As launch_ros does with words: a file under the node's full name.
    (tmp_path / "words.yaml").write_text(f"/planner: {{ros__parameters: {words}}}\n")
    cli_args = ["--ros-args"]
    for name in [*files, str(tmp_path / "words.yaml")]:
        cli_args += ["--params-file", name]
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node(
        "planner",
        context=context,
        cli_args=cli_args,
        automatically_declare_parameters_from_overrides=True,
    )
    wanted = {"model": "argument", "seed": 7, "device": "cpu", "dtype": "bfloat16"}
    found = {name: node.get_parameter(name).value for name in wanted}
    node.destroy_node()
    context.shutdown()
    assert found == wanted


@pytest.mark.parametrize("switch", ["autostart", "use_sim_time"])
@pytest.mark.parametrize(("word", "value"), [("true", True), ("false", False)])
def test_switches_arrive_as_booleans(load, switch, word, value):
    assert make_planner(load, **{switch: word})["parameters"][-1] == {switch: value}


def test_no_adapter_can_be_asked_for(load):
    assert make_planner(load, adapter="none")["parameters"][-1] == {"adapter": "none"}


def test_relative_parameter_files_are_those_of_the_shell(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("/**: {ros__parameters: {seed: 7}}\n")
    assert make_planner(load, params_file="own.yaml")["parameters"][-1] == str(
        tmp_path / "own.yaml"
    )


def test_a_missing_parameter_file_ends_the_launch(load, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"params_file must be a file, got .*nowhere\.yaml"):
        make_planner(load, params_file=str(tmp_path / "nowhere.yaml"))


def test_topics_are_remapped_with_the_compressed_image(load):
    options = make_planner(load, image_topic="/cam/image_rect", depth_topic="/cam/depth")
    remappings = dict(options["remappings"])
    assert remappings["image"] == "/cam/image_rect"
    assert remappings["image/compressed"] == "/cam/image_rect/compressed"
    assert remappings["depth"] == "/cam/depth"
    assert remappings["target_mask"] == "target_mask"


def find_included(entries):
    """Name and arguments of the included launch files; each in a scope of its own."""
    groups = [entry for entry in entries if entry.words and isinstance(entry.words[0], list)]
    includes = [include for group in groups for include in group.words[0]]
    return {
        Path(include.words[0].words[0]).name: dict(include.options["launch_arguments"])
        for include in includes
    }


def test_the_demo_hands_its_backend_to_the_planner(load):
    described = load("demo").generate_launch_description().words[0]
    included = find_included(described)
    assert list(included) == ["planner.launch.py"]
    assert list(included["planner.launch.py"]) == ["backend"]
    names = {argument.words[0] for argument in load("planner").ARGUMENTS}
    assert set(included["planner.launch.py"]) <= names


def test_the_demo_takes_the_cameras_mask_or_a_click(load):
    module = load("demo")
    (request,) = module.make_request(make_context(module))
    assert request.options["executable"] == "client"
    (camera,) = module.make_camera(make_context(module))
    assert camera.options["parameters"][-1]["publish_mask"] is True
    context = make_context(module, target="click", click="350, 380")
    (camera,) = module.make_camera(context)
    assert camera.options["parameters"][-1]["publish_mask"] is False
    segmenter, after, click = module.make_request(context)
    assert find_included([segmenter]) == {"segmenter.launch.py": {}}
    assert click.options["arguments"] == ["350", "380"]
    handler = after.words[0].options
    assert handler["target_action"] is click
    for status, executables in ((0, ["client"]), (1, [])):
        actions = handler["on_exit"](types.SimpleNamespace(returncode=status), None)
        assert [action.options["executable"] for action in actions] == executables
    # Without the argument a person clicks, and asks.
    assert len(module.make_request(make_context(module, target="click"))) == 1
    with pytest.raises(ValueError, match="click must be column and row, got '350'"):
        module.make_request(make_context(module, target="click", click="350"))


def test_the_segmenter_takes_its_parameters_as_the_planner_does(load, tmp_path):
    module = load("segmenter")
    own = tmp_path / "own.yaml"
    own.write_text("/**: {ros__parameters: {follow: false}}\n")
    context = make_context(
        module, params_file=str(own), method="grabcut", use_sim_time="true", image_topic="/cam"
    )
    (node,) = module.make_node(context)
    assert file_names(node.options["parameters"]) == ["segmenter.yaml", "own.yaml"]
    assert node.options["parameters"][-1] == {"method": "grabcut", "use_sim_time": True}
    assert dict(node.options["remappings"])["image/compressed"] == "/cam/compressed"
    assert node.options["respawn"] is False
    context = make_context(module, params_file=str(tmp_path / "nowhere.yaml"))
    with pytest.raises(FileNotFoundError, match="params_file must be a file"):
        module.make_node(context)


@pytest.mark.parametrize("name", ["planner", "demo"])
def test_the_readme_names_real_arguments(load, name):
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if f"ros2 launch tavid {name}.launch.py" in line]
    used = set(re.findall(r"(\w+):=", " ".join(lines)))
    assert lines
    assert used <= {argument.words[0] for argument in load(name).ARGUMENTS}


@needs_launch
@pytest.mark.slow
def test_a_real_launch_starts_the_node_with_its_parameters(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("/**: {ros__parameters: {seed: 7}}\n")
    words = [str(ROOT / "launch" / "planner.launch.py"), f"params_file:={own}", "backend:=fake"]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    started = done.stdout[done.stdout.index("STARTED") :].split()
    files = [after for word, after in itertools.pairwise(started) if word == "--params-file"]
    assert file_names(files[:2]) == ["planner.yaml", "own.yaml"]
    assert Path(files[2]).name.startswith("launch_params_")
