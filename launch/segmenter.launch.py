"""Start the segmenter node: a click on the image becomes target_mask.

    ros2 launch tavid segmenter.launch.py
    ros2 launch tavid segmenter.launch.py image_topic:=/camera/image_rect
    ros2 launch tavid segmenter.launch.py checkpoint:=sam_vit_b_01ec64.pth device:=cuda

The parameters stand in config/segmenter.yaml; copy it and give it as params_file. The arguments
here are about deployment only, and an empty one leaves what the file says.
"""

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
        default_value=str(SHARE / "config" / "segmenter.yaml"),
        description="Parameters of the node.",
    ),
    DeclareLaunchArgument(
        "method",
        default_value="",
        choices=["", "auto", "sam", "grabcut"],
        description="How to segment; empty = params_file's.",
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value="",
        description="Weights of segment-anything; empty = params_file's.",
    ),
    DeclareLaunchArgument(
        "model_type",
        default_value="",
        choices=["", "vit_b", "vit_l", "vit_h"],
        description="Of the checkpoint; empty = params_file's.",
    ),
    DeclareLaunchArgument(
        "device", default_value="", description="cpu or cuda; empty = params_file's."
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="Camera image."),
    DeclareLaunchArgument(
        "clicked_point_topic", default_value="clicked_point", description="Clicks, in pixels."
    ),
    DeclareLaunchArgument(
        "clicked_box_topic", default_value="clicked_box", description="Boxes around a target."
    ),
    DeclareLaunchArgument(
        "target_mask_topic", default_value="target_mask", description="Where the mask goes."
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Take the time from /clock.",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="true",
        choices=["true", "false"],
        description="Start the node again when its process ends with an error.",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn..."),
    DeclareLaunchArgument(
        "use_dds_profile",
        default_value="true",
        choices=["true", "false"],
        description="Give Fast DDS room for images (config/fastdds_profile.xml).",
    ),
]

TOPICS = ("image", "clicked_point", "clicked_box", "target_mask")
OVERRIDES = ("method", "checkpoint", "model_type", "device")


def make_node(context: LaunchContext) -> list[Node]:
    """Make the node from the arguments.

    Args:
        context: Of the launch.

    Returns:
        The node.
    """

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    overrides = {name: value(name) for name in OVERRIDES if value(name)}
    overrides["use_sim_time"] = value("use_sim_time") == "true"
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
            parameters=[value("params_file"), overrides],
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
