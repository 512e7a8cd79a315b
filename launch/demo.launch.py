"""Start camera and planner with a shipped scene, ask for one plan, and keep both running.

    ros2 launch tavid demo.launch.py
    ros2 launch tavid demo.launch.py scene:=three_mugs
    ros2 launch tavid demo.launch.py image:=/tmp/me.jpg mask:=/tmp/mask.png prompt:="..."

Watch it with RViz or Foxglove: /planner/markers, /planner/overlay, /planner/frames. Ask again with
`ros2 service call /planner/plan std_srvs/srv/Trigger`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("tavid"))

ARGUMENTS = [
    DeclareLaunchArgument(
        "scene", default_value="", description="Shipped scene; empty = three_boxes."
    ),
    DeclareLaunchArgument("image", default_value="", description="Your picture, JPEG or PNG."),
    DeclareLaunchArgument("mask", default_value="", description="Its mask, white = target."),
    DeclareLaunchArgument(
        "prompt", default_value="", description="What should happen; empty = the scene's own."
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", "tavid", "fake"],
        description="fake = no model, a made-up plan at once; empty = the model.",
    ),
    DeclareLaunchArgument(
        "ask",
        default_value="true",
        choices=["true", "false"],
        description="Ask for a plan once the planner is ready.",
    ),
]


def make_camera(context: LaunchContext) -> list[Node]:
    """Make the camera from the arguments.

    Args:
        context: Of the launch.

    Returns:
        The node.
    """

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    picture = {"source": "scene", "path": value("scene")}
    if value("image"):
        picture = {"source": "image", "path": value("image"), "mask_path": value("mask")}
    if value("prompt"):
        picture["prompt"] = value("prompt")
    return [
        Node(
            package="tavid",
            executable="camera_node",
            name="camera",
            output="screen",
            parameters=[str(SHARE / "config" / "camera.yaml"), picture],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch.

    Returns:
        Arguments, planner, camera, and one request.
    """
    planner = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "planner.launch.py")),
        launch_arguments={"backend": LaunchConfiguration("backend")}.items(),
    )
    # It waits until the planner has loaded its model.
    request = Node(
        package="tavid",
        executable="client",
        name="plan_client",
        output="screen",
        condition=IfCondition(LaunchConfiguration("ask")),
    )
    return LaunchDescription([*ARGUMENTS, planner, OpaqueFunction(function=make_camera), request])
