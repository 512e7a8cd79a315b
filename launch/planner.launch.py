r"""Start the planner node.

    ros2 launch tavid planner.launch.py
    ros2 launch tavid planner.launch.py namespace:=robot1 image_topic:=camera/image_rect
    ros2 launch tavid planner.launch.py preset:=5b model:=/models/CogVideoX-5b-I2V \
        adapter:=/models/tavid

Several planners: one launch per namespace, each with its device (docs/ros2.md).

Parameters come from four places, and the later one counts: config/planner.yaml with the defaults,
config/planner_PRESET.yaml, your own params_file (a copy of planner.yaml, or only the lines that
differ), and the arguments here. An empty argument leaves what the files say.
"""

from collections.abc import Callable
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("tavid"))

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument("name", default_value="planner", description="Name of the node."),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="Your parameters of the node; they go over the preset's.",
    ),
    DeclareLaunchArgument(
        "preset",
        default_value="",
        choices=["", "mini", "5b", "5b_24gb", "5b_12gb"],
        description="Settings of a model and a card, config/planner_PRESET.yaml; empty = mini.",
    ),
    DeclareLaunchArgument("model", default_value="", description="Model folder."),
    DeclareLaunchArgument(
        "adapter", default_value="", description="Adapter folder; none = the base model alone."
    ),
    DeclareLaunchArgument(
        "device", default_value="", description="torch device: cpu, cuda, cuda:1."
    ),
    DeclareLaunchArgument("output_dir", default_value="", description="Folder of saved plans."),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "tavid", "fake"],
        description="fake = no model, a made-up plan at once; tavid = the model.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false"],
        description="Configure and activate at start; false = a lifecycle manager does it.",
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="Camera image."),
    DeclareLaunchArgument(
        "target_mask_topic", default_value="target_mask", description="Mask of the target."
    ),
    DeclareLaunchArgument(
        "camera_info_topic", default_value="camera_info", description="Calibration of the camera."
    ),
    DeclareLaunchArgument("depth_topic", default_value="depth", description="Registered depth."),
    DeclareLaunchArgument("prompt_topic", default_value="prompt", description="What to do."),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "true", "false"],
        description="Take the time from /clock.",
    ),
    DeclareLaunchArgument(
        "respawn",
        # Off, since with wrong parameters or missing weights the node would start again for ever.
        default_value="false",
        choices=["true", "false"],
        description="Start the node again when its process ends.",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="What the node tells.",
    ),
    DeclareLaunchArgument(
        "use_dds_profile",
        default_value="true",
        choices=["true", "false"],
        description="Give Fast DDS room for images (config/fastdds_profile.xml).",
    ),
]

TOPICS = ("image", "target_mask", "camera_info", "depth", "prompt")
OVERRIDES = ("model", "adapter", "device", "output_dir", "backend")
SWITCHES = ("autostart", "use_sim_time")


def list_parameters(value: Callable[[str], str]) -> list[str | dict[str, str | bool]]:
    """List the sources of parameters, the strongest last.

    Args:
        value: Gives the value of an argument of the launch.

    Returns:
        Paths of files, then what the arguments say.

    Raises:
        FileNotFoundError: If params_file does not exist. Without this launch_ros would warn, and
            start the node with other parameters than asked for.
    """
    files = [SHARE / "config" / "planner.yaml"]
    if value("preset"):
        files.append(SHARE / "config" / f"planner_{value('preset')}.yaml")
    if value("params_file"):
        files.append(Path(value("params_file")).expanduser().absolute())
        if not files[-1].is_file():
            raise FileNotFoundError(
                f"params_file must be a file, got {files[-1]}. Check the path, or leave it out."
            )
    overrides: dict[str, str | bool] = {name: value(name) for name in OVERRIDES if value(name)}
    overrides |= {name: value(name) == "true" for name in SWITCHES if value(name)}
    return [*map(str, files), *([overrides] if overrides else [])]


def make_node(context: LaunchContext) -> list[Node]:
    """Make the node from the arguments.

    Args:
        context: Of the launch.

    Returns:
        The node.
    """

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    remappings = [(topic, value(f"{topic}_topic")) for topic in TOPICS]
    # What image_transport names the compressed image follows the image.
    remappings.append(("image/compressed", f"{value('image_topic')}/compressed"))
    return [
        Node(
            package="tavid",
            executable="planner_node",
            name=value("name"),
            namespace=value("namespace"),
            output="screen",
            emulate_tty=True,
            respawn=value("respawn") == "true",
            respawn_delay=2.0,
            parameters=list_parameters(value),
            remappings=remappings,
            arguments=["--ros-args", "--log-level", value("log_level")],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch.

    Returns:
        Arguments, the DDS profile, and the node.
    """
    # A profile that the user has already chosen stays.
    profile = SetEnvironmentVariable(
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        EnvironmentVariable(
            "FASTRTPS_DEFAULT_PROFILES_FILE",
            default_value=str(SHARE / "config" / "fastdds_profile.xml"),
        ),
        condition=IfCondition(LaunchConfiguration("use_dds_profile")),
    )
    return LaunchDescription([*ARGUMENTS, profile, OpaqueFunction(function=make_node)])
