"""Start camera and planner with a shipped scene, ask for one plan, and keep both running.

    ros2 launch tavid demo.launch.py
    ros2 launch tavid demo.launch.py scene:=three_mugs rviz:=true
    ros2 launch tavid demo.launch.py image:=/tmp/me.jpg mask:=/tmp/mask.png prompt:="..."
    ros2 launch tavid demo.launch.py target:=click click:="113 133"
    ros2 launch tavid demo.launch.py target:=click image:=/tmp/me.jpg prompt:="..."
    ros2 launch tavid demo.launch.py namespace:=robot1

With target:=click the camera publishes no mask, and the segmenter makes one of a click: that of
the argument, or yours later (`ros2 run tavid click X Y`). Watch it with rviz:=true or Foxglove:
/planner/markers, /planner/overlay, /planner/frames, /segmenter/overlay. Ask again with
`ros2 service call /planner/plan std_srvs/srv/Trigger`. What the planner's launch file takes besides
(preset, model, device, params_file, ...) is handed on, but for its name and topics, which the
camera and the client count on, and `respawn` is for planner and segmenter.
"""

import re

from launch.actions import (
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription
from tavid_ros.node_launch import (
    argument,
    declare_dds_profile,
    declare_log_level,
    find_share,
    log_level_words,
    make_reader,
    set_dds_profile,
    switch,
)

SHARE = find_share()

ARGUMENTS = [
    argument("scene", "Shipped scene; empty = three_boxes."),
    argument("image", "Your picture, JPEG or PNG."),
    argument("mask", "Its mask, white = target."),
    argument("prompt", "What should happen; empty = the scene's own."),
    argument(
        "target",
        "Where the target comes from: the camera's mask, or a click on its image.",
        default="mask",
        choices=["mask", "click"],
    ),
    argument("click", "Column and row of the click; empty = you click."),
    argument(
        "backend",
        "fake = no model, a made-up plan at once; empty = the model.",
        choices=["", "tavid", "fake"],
    ),
    switch(
        "ask", "Ask for a plan once the planner is ready and there is a target.", default="true"
    ),
    switch("rviz", "Start rviz2 too, which must be installed.", default="false"),
    argument("namespace", "Namespace of all nodes."),
    switch("use_sim_time", "Take the time from /clock, all nodes.", default=""),
    declare_log_level(),
    declare_dds_profile(),
]

TOPICS = ("image", "target_mask", "camera_info", "depth", "prompt")


def split_click(text: str) -> list[str]:
    """Split the argument click.

    Args:
        text: As "350 380" or "350, 380".

    Returns:
        Column and row.

    Raises:
        ValueError: If it is not two numbers.
    """
    words = text.replace(",", " ").split()
    if len(words) != 2 or not all(re.fullmatch(r"\d+(\.\d*)?", word) for word in words):
        raise ValueError(f'click must be column and row, got {text!r}. Write click:="350 380".')
    return words


def check_arguments(context: LaunchContext) -> list[Action]:
    """Refuse wrong arguments before anything was started; what was would outlive the launch.

    Args:
        context: Of the launch.

    Returns:
        Nothing to do.

    Raises:
        ValueError: If click is not two numbers.
    """
    click = make_reader(context)("click")
    if click:
        split_click(click)
    return []


def make_camera(context: LaunchContext) -> list[Node]:
    """Make the camera from the arguments.

    Args:
        context: Of the launch.

    Returns:
        The node.
    """
    value = make_reader(context)
    picture: dict[str, str | bool] = {"source": "scene", "path": value("scene")}
    if value("image"):
        picture = {"source": "image", "path": value("image"), "mask_path": value("mask")}
    if value("prompt"):
        picture["prompt"] = value("prompt")
    picture["publish_mask"] = value("target") == "mask"
    if value("use_sim_time"):
        picture["use_sim_time"] = value("use_sim_time") == "true"
    return [
        Node(
            package="tavid",
            executable="camera_node",
            name="camera",
            namespace=value("namespace"),
            output="screen",
            parameters=[str(SHARE / "config" / "camera.yaml"), picture],
            arguments=log_level_words(context),
            on_exit=Shutdown(reason="without its camera the demo has nothing to show"),
        )
    ]


def make_request(context: LaunchContext) -> list[Action]:
    """Make what leads to the target and to the request for a plan.

    Args:
        context: Of the launch.

    Returns:
        The request; with target:=click the segmenter, the click, and then the request.
    """
    value = make_reader(context)
    # It waits until the planner has loaded its model.
    request = Node(
        package="tavid",
        executable="client",
        name="plan_client",
        namespace=value("namespace"),
        output="screen",
        arguments=log_level_words(context),
        condition=IfCondition(LaunchConfiguration("ask")),
    )
    if value("target") == "mask":
        return [request]
    actions: list[Action] = [include("segmenter")]
    if value("click"):
        click = Node(
            package="tavid",
            executable="click",
            namespace=value("namespace"),
            output="screen",
            arguments=split_click(value("click")),
        )
        after = RegisterEventHandler(
            OnProcessExit(
                target_action=click,
                on_exit=lambda event, _: [request] if event.returncode == 0 else [],
            )
        )
        actions += [after, click]
    return actions


def include(name: str) -> GroupAction:
    """Include another launch file of this package, in a scope of its own.

    It takes the arguments of this launch, but for the names that camera and client count on.

    Args:
        name: As "planner".

    Returns:
        The action.
    """
    source = PythonLaunchDescriptionSource(str(SHARE / "launch" / f"{name}.launch.py"))
    fixed = {"name": name, **{f"{topic}_topic": topic for topic in TOPICS}}
    return GroupAction([IncludeLaunchDescription(source, launch_arguments=fixed.items())])


def make_rviz() -> Node:
    """Make rviz, if it is wanted.

    Returns:
        The node; what its file names from the root it looks for in the namespace.
    """
    path = SHARE / "config" / "tavid.rviz"
    topics = sorted(set(re.findall(r"/planner/\w+", path.read_text(encoding="utf-8"))))
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(path)],
        remappings=[(topic, topic.removeprefix("/")) for topic in topics],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )


def generate_launch_description() -> LaunchDescription:
    """Describe the launch.

    Returns:
        Arguments, rviz, planner, camera, and one request.
    """
    return LaunchDescription(
        [
            *ARGUMENTS,
            # Here too: what an included file sets stays in its scope, and a camera needs it most.
            set_dds_profile(),
            OpaqueFunction(function=check_arguments),
            # Early: where it is not installed the launch ends before anything else has started.
            make_rviz(),
            include("planner"),
            OpaqueFunction(function=make_camera),
            OpaqueFunction(function=make_request),
        ]
    )
