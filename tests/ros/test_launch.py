"""The launch files: which parameters win, what is remapped, and what is started."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest
import rclpy

from tests.source_tree import ROOT


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
            "Shutdown",
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

    def load_file(name, path):
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    load_file("tavid_ros.node_launch", ROOT / "tavid_ros" / "node_launch.py")
    return lambda name: load_file(f"{name}_launch", ROOT / "launch" / f"{name}.launch.py")


def list_actions(module):
    """What a launch file does, in its order."""
    return module.generate_launch_description().words[0]


def list_arguments(module):
    """The arguments that a launch file declares itself."""
    return [action for action in list_actions(module) if "description" in action.options]


def make_context(module, **given):
    """All arguments with their defaults, and some given."""
    defaults = {a.words[0]: a.options["default_value"] for a in list_arguments(module)}
    assert set(given) <= set(defaults)
    for argument in list_arguments(module):
        value = given.get(argument.words[0], argument.options["default_value"])
        assert value in argument.options.get("choices", [value]), argument.words[0]
    return defaults | given


def make_planner(load, **given):
    """Options of the planner's node for some arguments."""
    module = load("planner")
    (node,) = module.PLANNER.make_node(make_context(module, **given))
    return node.options


def file_names(parameters):
    """Names of the parameter files, in their order."""
    return [Path(entry).name for entry in parameters if isinstance(entry, str)]


@pytest.mark.parametrize("name", ["planner", "segmenter", "demo"])
def test_every_argument_has_a_default_and_a_description(load, name):
    module = load(name)
    arguments = list_arguments(module)
    assert len(arguments) > 8
    for argument in arguments:
        assert argument.options["description"].endswith("."), argument.words[0]
        default = argument.options["default_value"]
        assert default in argument.options.get("choices", [default]), argument.words[0]
    assert list_actions(module)[: len(arguments)] == arguments


@pytest.mark.parametrize("name", ["planner", "segmenter"])
def test_parameters_are_arguments_with_their_own_choices(load, name):
    module = load(name)
    node = getattr(module, name.upper())
    arguments = {argument.words[0]: argument for argument in list_arguments(module)}
    fields = {field.name: field for field in dataclasses.fields(node.parameters_type)}
    assert node.parameters
    for parameter in node.parameters:
        options, field = arguments[parameter].options, fields[parameter]
        assert options["description"] == field.metadata["description"]
        words = ("true", "false") if field.default in (True, False) else field.metadata["choices"]
        assert options.get("choices", [""]) == ["", *words]
        assert options["default_value"] == ""


@pytest.mark.parametrize("name", ["planner", "segmenter", "demo"])
def test_every_node_gets_the_dds_profile(load, name):
    actions = list_actions(load(name))
    first = next(
        number
        for number, action in enumerate(actions)
        if action.words[:1] == ("FASTRTPS_DEFAULT_PROFILES_FILE",)
    )
    # What the environment holds counts from there on; before it stand the arguments only.
    assert all("description" in action.options for action in actions[:first])
    profile = actions[first]
    assert profile.words[1].options["default_value"].endswith("config/fastdds_profile.xml")
    assert profile.options["condition"].words[0].words == ("use_dds_profile",)


def test_without_arguments_the_file_of_the_defaults_says_everything(load):
    options = make_planner(load)
    assert options["parameters"] == [str(ROOT / "config" / "planner.yaml")]
    assert options["respawn"] is False
    assert make_planner(load, respawn="true")["respawn"] is True


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


def test_the_demo_leaves_the_planner_the_names_that_the_camera_uses(load):
    included = find_included(list_actions(load("demo")))
    assert list(included) == ["planner.launch.py"]
    fixed = included["planner.launch.py"]
    planner = load("planner").PLANNER
    names = {argument.words[0] for argument in planner.declare()}
    assert fixed == {"name": "planner", **{f"{topic}_topic": topic for topic in planner.topics}}
    assert set(fixed) <= names
    # The rest goes through, because it is not named here.
    assert {"backend", "namespace", "use_sim_time"} <= names - set(fixed)


def test_the_demo_puts_all_nodes_into_its_namespace(load):
    module = load("demo")
    context = make_context(module, namespace="robot1", target="click", click="3 4")
    (camera,) = module.make_camera(context)
    _, after, click = module.make_request(context)
    (client,) = after.words[0].options["on_exit"](types.SimpleNamespace(returncode=0), None)
    assert {node.options["namespace"] for node in (camera, click, client)} == {"robot1"}
    rviz = module.make_rviz()
    assert rviz.options["namespace"].words == ("namespace",)
    # A relative name is one of the namespace, and rviz's file has names from the root.
    assert ("/planner/markers", "planner/markers") in rviz.options["remappings"]
    (camera,) = module.make_camera(make_context(module, log_level="debug"))
    (client,) = module.make_request(make_context(module, log_level="debug"))
    for node in (camera, client):
        assert node.options["arguments"] == ["--ros-args", "--log-level", "debug"]
    (camera,) = module.make_camera(make_context(module, use_sim_time="true"))
    assert camera.options["parameters"][-1]["use_sim_time"] is True


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
    included = find_included([segmenter])["segmenter.launch.py"]
    assert included["name"] == "segmenter"
    assert included["image_topic"] == "image"
    assert click.options["arguments"] == ["350", "380"]
    handler = after.words[0].options
    assert handler["target_action"] is click
    for status, executables in ((0, ["client"]), (1, [])):
        actions = handler["on_exit"](types.SimpleNamespace(returncode=status), None)
        assert [action.options["executable"] for action in actions] == executables
    # Without the argument a person clicks, and asks.
    assert len(module.make_request(make_context(module, target="click"))) == 1
    for click in ("350", "350 x", "1 2 3"):
        with pytest.raises(ValueError, match=f"click must be column and row, got '{click}'"):
            module.check_arguments(make_context(module, click=click))
    assert module.check_arguments(make_context(module, click="350.5,380")) == []
    # Before anything starts, and a camera that fails ends the rest.
    functions = [action.options.get("function") for action in list_actions(module)]
    assert functions.index(module.check_arguments) < functions.index(module.make_camera)
    assert camera.options["on_exit"].options["reason"]


def test_the_segmenter_takes_its_parameters_as_the_planner_does(load, tmp_path):
    module = load("segmenter")
    own = tmp_path / "own.yaml"
    own.write_text("/**: {ros__parameters: {follow: false}}\n")
    context = make_context(
        module, params_file=str(own), method="grabcut", use_sim_time="true", image_topic="/cam"
    )
    (node,) = module.SEGMENTER.make_node(context)
    assert file_names(node.options["parameters"]) == ["segmenter.yaml", "own.yaml"]
    assert node.options["parameters"][-1] == {"method": "grabcut", "use_sim_time": True}
    assert dict(node.options["remappings"])["image/compressed"] == "/cam/compressed"
    assert node.options["respawn"] is False
    context = make_context(module, params_file=str(tmp_path / "nowhere.yaml"))
    with pytest.raises(FileNotFoundError, match="params_file must be a file"):
        module.SEGMENTER.make_node(context)


@pytest.mark.parametrize("name", ["planner", "demo"])
def test_the_readme_names_real_arguments(load, name):
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if f"ros2 launch tavid {name}.launch.py" in line]
    used = set(re.findall(r"(\w+):=", " ".join(lines)))
    assert lines
    known = {argument.words[0] for argument in list_arguments(load(name))}
    if name == "demo":
        # It hands on what it does not know itself.
        known |= {argument.words[0] for argument in list_arguments(load("planner"))}
    assert used <= known
