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

from launch import LaunchDescription
from tavid_ros.node_launch import NodeLaunch
from tavid_ros.parameters import PlannerParameters

PLANNER = NodeLaunch(
    name="planner",
    parameters_type=PlannerParameters,
    parameters=("model", "adapter", "device", "output_dir", "backend", "autostart"),
    topics={
        "image": "Camera image.",
        "target_mask": "Mask of the target.",
        "camera_info": "Calibration of the camera.",
        "depth": "Registered depth.",
        "prompt": "What to do.",
    },
    presets=("mini", "5b", "5b_24gb", "5b_12gb"),
)


def generate_launch_description() -> LaunchDescription:
    """Describe the launch.

    Returns:
        Arguments, the DDS profile, and the node.
    """
    return PLANNER.describe()
