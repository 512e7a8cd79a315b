"""Start camera and planner with a shipped scene, ask for one plan, and keep both running.

    ros2 launch tavid demo.launch.py
    ros2 launch tavid demo.launch.py scene:=three_mugs rviz:=true
    ros2 launch tavid demo.launch.py image:=/tmp/me.jpg mask:=/tmp/mask.png prompt:="..."
    ros2 launch tavid demo.launch.py target:=click click:="113 133"
    ros2 launch tavid demo.launch.py target:=click image:=/tmp/me.jpg prompt:="..."

With target:=click the camera publishes no mask, and the segmenter makes one of a click: that of
the argument, or yours later (`ros2 run tavid click X Y`). Watch it with rviz:=true or Foxglove:
/planner/markers, /planner/overlay, /planner/frames, /segmenter/overlay. Ask again with
`ros2 service call /planner/plan std_srvs/srv/Trigger`.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription

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
        "target",
        default_value="mask",
        choices=["mask", "click"],
        description="Where the target comes from: the camera's mask, or a click on its image.",
    ),
    DeclareLaunchArgument(
        "click", default_value="", description="Column and row of the click; empty = you click."
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
        description="Ask for a plan once the planner is ready and there is a target.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["true", "false"],
        description="Start rviz2 too, which must be installed.",
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
    picture["publish_mask"] = value("target") == "mask"
    return [
        Node(
            package="tavid",
            executable="camera_node",
            name="camera",
            output="screen",
            parameters=[str(SHARE / "config" / "camera.yaml"), picture],
        )
    ]


def make_request(context: LaunchContext) -> list[Action]:
    """Make what leads to the target and to the request for a plan.

    Args:
        context: Of the launch.

    Returns:
        The request; with target:=click the segmenter, the click, and then the request.

    Raises:
        ValueError: If click is not two numbers.
    """

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    # It waits until the planner has loaded its model.
    request = Node(
        package="tavid",
        executable="client",
        name="plan_client",
        output="screen",
        condition=IfCondition(LaunchConfiguration("ask")),
    )
    if value("target") == "mask":
        return [request]
    actions: list[Action] = [include("segmenter")]
    if value("click"):
        words = value("click").replace(",", " ").split()
        if len(words) != 2:
            raise ValueError(
                f'click must be column and row, got {value("click")!r}. Write click:="350 380".'
            )
        click = Node(package="tavid", executable="click", output="screen", arguments=words)
        after = RegisterEventHandler(
            OnProcessExit(
                target_action=click,
                on_exit=lambda event, _: [request] if event.returncode == 0 else [],
            )
        )
        actions += [after, click]
    return actions


def include(name: str, **arguments: LaunchConfiguration) -> GroupAction:
    """Include another launch file of this package, in a scope of its own.

    Without the scope its arguments, "name" for one, would be those of the next file too.

    Args:
        name: As "planner".
        **arguments: Of that file.

    Returns:
        The action.
    """
    path = SHARE / "launch" / f"{name}.launch.py"
    source = PythonLaunchDescriptionSource(str(path))
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=arguments.items())])


def generate_launch_description() -> LaunchDescription:
    """Describe the launch.

    Returns:
        Arguments, rviz, planner, camera, and one request.
    """
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        arguments=["-d", str(SHARE / "config" / "tavid.rviz")],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription(
        [
            *ARGUMENTS,
            # First: where it is not installed the launch ends before anything else has started.
            rviz,
            include("planner", backend=LaunchConfiguration("backend")),
            OpaqueFunction(function=make_camera),
            OpaqueFunction(function=make_request),
        ]
    )
