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

from launch import LaunchDescription
from tavid_ros.node_launch import NodeLaunch
from tavid_ros.parameters import SegmenterParameters

SEGMENTER = NodeLaunch(
    name="segmenter",
    parameters_type=SegmenterParameters,
    parameters=("method", "checkpoint", "model_type", "detector", "device"),
    topics={
        "image": "Camera image.",
        "clicked_point": "Clicks, in pixels.",
        "clicked_points": "Several clicks on one target, in pixels.",
        "clicked_box": "Boxes around a target.",
        "clicked_label": "Names of targets.",
        "target_mask": "Where the mask goes.",
    },
)


def generate_launch_description() -> LaunchDescription:
    """Describe the launch.

    Returns:
        Arguments, the DDS profile, and the node.
    """
    return SEGMENTER.describe()
