"""Start the segmenter node: a click on the image becomes target_mask.

    ros2 launch tavid segmenter.launch.py
    ros2 launch tavid segmenter.launch.py image_topic:=/camera/image_rect
    ros2 launch tavid segmenter.launch.py checkpoint:=sam_vit_b_01ec64.pth device:=cuda
    ros2 launch tavid segmenter.launch.py detector:=models/owlvit
    ros2 run tavid click 350 380

Parameters come from three places, and the later one counts: config/segmenter.yaml with the
defaults, your own params_file (a copy of it, or only the lines that differ), and the arguments
here. An empty argument leaves what the files say.
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
    DeclareLaunchArgument("name", default_value="segmenter", description="Name of the node."),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="Your parameters of the node; they go over the defaults.",
    ),
    DeclareLaunchArgument(
        "method",
        default_value="",
        choices=["", "auto", "sam", "grabcut"],
        description="How to segment; auto = sam if there is a checkpoint, else grabcut.",
    ),
    DeclareLaunchArgument(
        "checkpoint", default_value="", description="Weights of segment-anything."
    ),
    DeclareLaunchArgument(
        "model_type",
        default_value="",
        choices=["", "vit_b", "vit_l", "vit_h"],
        description="Of the checkpoint.",
    ),
    DeclareLaunchArgument(
        "detector",
        default_value="",
        description="Finds labels: folder of OWL-ViT, OWLv2 or Grounding DINO.",
    ),
    DeclareLaunchArgument("device", default_value="", description="cpu or cuda."),
    DeclareLaunchArgument("image_topic", default_value="image", description="Camera image."),
    DeclareLaunchArgument(
        "clicked_point_topic", default_value="clicked_point", description="Clicks, in pixels."
    ),
    DeclareLaunchArgument(
        "clicked_box_topic", default_value="clicked_box", description="Boxes around a target."
    ),
    DeclareLaunchArgument(
        "clicked_label_topic", default_value="clicked_label", description="Names of targets."
    ),
    DeclareLaunchArgument(
        "target_mask_topic", default_value="target_mask", description="Where the mask goes."
    ),
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
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn..."),
    DeclareLaunchArgument(
        "use_dds_profile",
        default_value="true",
        choices=["true", "false"],
        description="Give Fast DDS room for images (config/fastdds_profile.xml).",
    ),
]

TOPICS = ("image", "clicked_point", "clicked_box", "clicked_label", "target_mask")
OVERRIDES = ("method", "checkpoint", "model_type", "detector", "device")
SWITCHES = ("use_sim_time",)


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
    files = [SHARE / "config" / "segmenter.yaml"]
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
            executable="segmenter_node",
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
