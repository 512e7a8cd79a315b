"""Messages to values and back: pure functions, the only place where both are known.

Every function that reads a message refuses a malformed one with a `TavidError` and never with
anything else. cv_bridge is not used.
"""

from tavid_ros.conversions.cameras import (
    distortion_from_message,
    fit_intrinsics,
    intrinsics_from_message,
    is_rectified_topic,
    message_from_intrinsics,
    rectify_camera_info,
)
from tavid_ros.conversions.frames import (
    change_frame,
    message_from_transform,
    transform_from_message,
    transforms_from_motion,
)
from tavid_ros.conversions.goals import (
    GoalNumbers,
    clean_prompt,
    feedback_from_progress,
    fill_result,
    goal_from_request,
    make_result,
    numbers_from_goal,
    progress_from_feedback,
)
from tavid_ros.conversions.images import (
    check_depth_message,
    check_image_message,
    check_mask_message,
    compressed_from_image,
    depth_from_message,
    image_from_message,
    is_empty_image,
    mask_from_message,
    message_from_depth,
    message_from_image,
    message_from_mask,
)
from tavid_ros.conversions.markers import delete_markers, markers_from_plan
from tavid_ros.conversions.motions import (
    TARGET_NAME,
    choose_hand,
    path_from_track,
    trajectory_from_motion,
)
from tavid_ros.conversions.targets import (
    query_from_box,
    query_from_point,
    query_from_points,
    query_from_request,
)
from tavid_ros.conversions.times import (
    duration_from_seconds,
    header_from_stamp,
    nanoseconds_from_time,
    seconds_from_duration,
)

__all__ = [
    "TARGET_NAME",
    "GoalNumbers",
    "change_frame",
    "check_depth_message",
    "check_image_message",
    "check_mask_message",
    "choose_hand",
    "clean_prompt",
    "compressed_from_image",
    "delete_markers",
    "depth_from_message",
    "distortion_from_message",
    "duration_from_seconds",
    "feedback_from_progress",
    "fill_result",
    "fit_intrinsics",
    "goal_from_request",
    "header_from_stamp",
    "image_from_message",
    "intrinsics_from_message",
    "is_empty_image",
    "is_rectified_topic",
    "make_result",
    "markers_from_plan",
    "mask_from_message",
    "message_from_depth",
    "message_from_image",
    "message_from_intrinsics",
    "message_from_mask",
    "message_from_transform",
    "nanoseconds_from_time",
    "numbers_from_goal",
    "path_from_track",
    "progress_from_feedback",
    "query_from_box",
    "query_from_point",
    "query_from_points",
    "query_from_request",
    "rectify_camera_info",
    "seconds_from_duration",
    "trajectory_from_motion",
    "transform_from_message",
    "transforms_from_motion",
]
