"""Parameters of the nodes: names, defaults, ranges and descriptions, each in one place.

A node's parameters are the fields of a dataclass. `declare` tells ROS about them, `read` takes a
snapshot. config/*.yaml repeats the defaults for people to edit; a test keeps the two equal.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from tavid_core.errors import ConfigError
from tavid_ros.parameter_fields import check_choices, parameter_field

__all__ = ["CameraParameters", "PlannerParameters", "SegmenterParameters", "declare", "read"]

ParametersT = TypeVar("ParametersT")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannerParameters:
    """What planner_node can be told; see each field's description."""

    autostart: bool = parameter_field(
        True, "Configure and activate at start; false = a lifecycle manager does it.", is_fixed=True
    )
    backend: str = parameter_field(
        "tavid",
        "tavid = the model; fake = no model, a made-up plan at once (to try the nodes).",
        choices=("tavid", "fake"),
        is_fixed=True,
    )
    model: str = parameter_field(
        "mini", "mini = the embedded model, or a diffusers folder of CogVideoX.", is_fixed=True
    )
    adapter: str = parameter_field(
        "default", "default = the model's own, none = no adapter, or a folder.", is_fixed=True
    )
    device: str = parameter_field("cpu", "torch device: cpu, cuda, cuda:1.", is_fixed=True)
    dtype: str = parameter_field(
        "float32",
        "Number type of the model.",
        choices=("float32", "bfloat16", "float16"),
        is_fixed=True,
    )
    offload: str = parameter_field(
        "none",
        "Where weights wait: none = on the device, model or sequential = in host memory.",
        choices=("none", "model", "sequential"),
        is_fixed=True,
    )
    vae_tiling: bool = parameter_field(
        False, "Decode the video in tiles: much less memory, a little slower.", is_fixed=True
    )
    keypoints: str = parameter_field(
        "mini",
        "Who finds the actor: mini, mediapipe (real people), or a .json or .npz file.",
        is_fixed=True,
    )
    body_fit: str = parameter_field(
        "none",
        "joints = fit a body with the joints of SMPL-X to the actor; mesh = save its surface too.",
        choices=("none", "joints", "mesh"),
        is_fixed=True,
    )
    body_model: str = parameter_field(
        "", "A SMPL-X npz file for body_fit; empty = the stand-in of this package.", is_fixed=True
    )
    load_timeout_sec: float = parameter_field(
        600.0, "Longest time for loading the model.", low=1.0, high=7200.0, is_fixed=True
    )
    watchdog_sec: float = parameter_field(
        120.0,
        "Longest silence of the worker within a plan; then it is restarted.",
        low=0.1,
        high=7200.0,
        is_fixed=True,
    )
    drain_timeout_sec: float = parameter_field(
        30.0,
        "Longest time from a cancel until the worker is free; then it is restarted.",
        low=0.1,
        high=7200.0,
        is_fixed=True,
    )
    worker_niceness: int = parameter_field(
        0,
        "Added to the worker's nice value, so that the node answers.",
        low=0,
        high=19,
        is_fixed=True,
    )
    executor_threads: int = parameter_field(
        6,
        "Threads for callbacks; each goal that runs or waits takes one.",
        low=5,
        high=64,
        is_fixed=True,
    )
    result_timeout_sec: int = parameter_field(
        10, "How long a result can be fetched after the goal ended.", low=1, high=900, is_fixed=True
    )
    output_dir: str = parameter_field(
        "", "Folder of saved plans; empty = $ROS_HOME/tavid/plans.", is_fixed=True
    )
    use_compressed_image: bool = parameter_field(
        False, "Listen to image/compressed (JPEG, PNG) instead of image.", is_fixed=True
    )
    image_reliability: str = parameter_field(
        "best_effort",
        "QoS of image and depth: best_effort hears every publisher, reliable only reliable ones.",
        choices=("best_effort", "reliable", "system_default"),
        is_fixed=True,
    )
    image_depth: int = parameter_field(
        5,
        "QoS of image and depth: messages that may wait to be read.",
        low=1,
        high=100,
        is_fixed=True,
    )
    save_plans: bool = parameter_field(True, "Save every plan below output_dir.")
    default_prompt: str = parameter_field(
        "", "For goals without a prompt while none came as a topic."
    )
    seed: int = parameter_field(0, "Seed of goals that name none.", low=0, high=2**62)
    num_inference_steps: int = parameter_field(
        0, "Denoising steps of goals that name none; 0 = the model's default.", low=0, high=1000
    )
    guidance_scale: float = parameter_field(
        0.0, "Guidance of goals that name none; 0 = the model's default.", low=0.0, high=30.0
    )
    num_frames: int = parameter_field(
        0, "Frames of goals that name none, 8n+1; 0 = the model's default.", low=0, high=1025
    )
    num_candidates: int = parameter_field(
        1, "Rollouts of goals that name none; the best by its score is the plan.", low=1, high=16
    )
    goal_policy: str = parameter_field(
        "reject",
        "A goal that comes while another runs: reject it, queue = one may wait, newest = it takes "
        "the place of the running one.",
        choices=("reject", "queue", "newest"),
    )
    goal_time_limit_sec: float = parameter_field(
        900.0, "Longest time for a goal, waiting included.", low=0.1, high=86400.0
    )
    cancel_grace_sec: float = parameter_field(
        0.05,
        "How long a canceled goal waits for the worker to stop before it ends without it.",
        low=0.0,
        high=60.0,
    )
    feedback_rate_hz: float = parameter_field(
        5.0,
        "Most feedback messages per second; a new stage is always told, a long step every second.",
        low=0.1,
        high=50.0,
    )
    input_max_age_sec: float = parameter_field(
        2.0, "Oldest image, mask or depth that a goal may use; 0 = any.", low=0.0, high=86400.0
    )
    pair_max_offset_sec: float = parameter_field(
        0.5,
        "Largest stamp difference of image and mask or depth; 0 = equal stamps only.",
        low=0.0,
        high=3600.0,
    )
    input_wait_sec: float = parameter_field(
        1.0, "How long a goal waits for fresh inputs that belong together.", low=0.0, high=60.0
    )
    rectify: str = parameter_field(
        "auto",
        "Undo lens distortion: auto = unless the topic is named rect, done = it is undone already.",
        choices=("auto", "always", "never", "done"),
    )
    jpeg_quality: int = parameter_field(90, "Of ~/frames/compressed.", low=1, high=100)
    playback_rate: float = parameter_field(
        1.0,
        "Speed of ~/frames: 1 = real time, 2 = double, 0 = as fast as possible.",
        low=0.0,
        high=100.0,
    )
    playback_loop: bool = parameter_field(
        False, "Play ~/frames again and again, for displays, until the next plan."
    )
    plan_lifetime_sec: float = parameter_field(
        300.0,
        "Age at which ~/plan, the paths and the markers are emptied; 0 = never.",
        low=0.0,
        high=86400.0,
    )
    target_frame: str = parameter_field(
        "", "Frame of plan, paths and markers, by /tf; empty = the image's own.", is_fixed=True
    )
    transform_tolerance_sec: float = parameter_field(
        0.5, "Largest age of a transform at the image's stamp.", low=0.0, high=3600.0
    )
    publish_tf: bool = parameter_field(
        False, "Publish hands and target on /tf, in step with ~/frames.", is_fixed=True
    )

    def __post_init__(self) -> None:
        """Refuse values that ranges cannot express."""
        check_choices(self)
        if self.num_frames and (self.num_frames < 9 or self.num_frames % 8 != 1):
            raise ConfigError(
                f"num_frames must be 0 or 8n+1 with n >= 1, got {self.num_frames}. Try 17 or 49."
            )
        if self.playback_loop and not self.playback_rate:
            raise ConfigError(
                "playback_rate must be above 0 for playback_loop, got 0. Set it to 1."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraParameters:
    """What camera_node can be told; see each field's description."""

    source: str = parameter_field(
        "scene",
        "scene = a shipped or own scene folder, image, folder, video, world (MuJoCo) or episodes "
        "(videos with masks).",
        choices=("scene", "image", "folder", "video", "world", "episodes"),
        is_fixed=True,
    )
    path: str = parameter_field(
        "",
        "Scene name or folder, image file, folder or video file; of world, the first seed.",
        is_fixed=True,
    )
    mask_path: str = parameter_field(
        "", "Mask for source image, folder or video: white = target.", is_fixed=True
    )
    prompt: str = parameter_field(
        "", "Published on prompt; empty = the scene's own.", is_fixed=True
    )
    rate_hz: float = parameter_field(
        5.0, "Pictures per second.", low=0.01, high=120.0, is_fixed=True
    )
    loop: bool = parameter_field(
        True, "Start again at the end of a folder or video.", is_fixed=True
    )
    frame_id: str = parameter_field(
        "camera_optical_frame", "Frame of the messages (x right, y down, z forward).", is_fixed=True
    )
    field_of_view_deg: float = parameter_field(
        0.0,
        "Horizontal, measured, of a camera without calibration; 0 = unknown.",
        low=0.0,
        high=170.0,
        is_fixed=True,
    )
    camera_info_path: str = parameter_field(
        "",
        "Calibration for camera_info: YAML as ROS's camera_calibration writes it.",
        is_fixed=True,
    )
    publish_compressed: bool = parameter_field(
        False, "Publish image/compressed too.", is_fixed=True
    )
    publish_mask: bool = parameter_field(
        True,
        "Publish target_mask where one is known; false leaves it to a segmenter.",
        is_fixed=True,
    )

    wait_for_listeners: bool = parameter_field(
        False, "Begin when somebody listens to every topic, as for a recording.", is_fixed=True
    )

    def __post_init__(self) -> None:
        """Refuse values that ranges cannot express."""
        check_choices(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterParameters:
    """What segmenter_node can be told; see each field's description."""

    method: str = parameter_field(
        "auto",
        "auto = sam if there is a checkpoint, else grabcut, which needs no download.",
        choices=("auto", "sam", "grabcut"),
        is_fixed=True,
    )
    checkpoint: str = parameter_field(
        "", "Weights of segment-anything, .pth; needs the extra sam.", is_fixed=True
    )
    model_type: str = parameter_field(
        "vit_b", "Of the checkpoint.", choices=("vit_b", "vit_l", "vit_h"), is_fixed=True
    )
    device: str = parameter_field(
        "cpu", "torch device of segment-anything and the detector.", is_fixed=True
    )
    detector: str = parameter_field(
        "",
        "Finds labels: folder of OWL-ViT, OWLv2 or Grounding DINO, or its Hub name; empty = none.",
        is_fixed=True,
    )
    detector_min_score: float = parameter_field(
        0.1, "From which score on a found label counts.", low=0.0, high=0.99, is_fixed=True
    )
    load_timeout_sec: float = parameter_field(
        300.0, "Longest time for loading the models.", low=1.0, high=7200.0, is_fixed=True
    )
    work_timeout_sec: float = parameter_field(
        60.0,
        "Longest time for one click; then the worker process is restarted.",
        low=0.1,
        high=3600.0,
        is_fixed=True,
    )
    use_compressed_image: bool = parameter_field(
        False, "Listen to image/compressed (JPEG, PNG) instead of image.", is_fixed=True
    )
    follow: bool = parameter_field(
        True, "Follow the target between clicks; false = one mask per click, which gets stale."
    )
    follow_rate_hz: float = parameter_field(
        10.0, "Most masks per second while following.", low=0.1, high=60.0, is_fixed=True
    )
    regain_sec: float = parameter_field(
        2.0, "How long a target out of sight is looked for; then it is lost.", low=0.0, high=60.0
    )
    image_max_age_sec: float = parameter_field(
        2.0, "Oldest image that a click may mean; 0 = any.", low=0.0, high=86400.0
    )

    def __post_init__(self) -> None:
        """Refuse values that ranges cannot express."""
        check_choices(self)


def declare(node: Node, parameters_type: type) -> None:
    """Declare every field of a parameter dataclass on a node.

    Args:
        node: Any node.
        parameters_type: `PlannerParameters` or another dataclass of parameters.

    Raises:
        rclpy.exceptions.ParameterException: If an override has another type or is out of range.
    """
    for field in dataclasses.fields(parameters_type):
        node.declare_parameter(field.name, field.default, _describe(field))


def _describe(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    metadata = field.metadata
    descriptor = ParameterDescriptor(
        description=metadata["description"], read_only=metadata["is_fixed"]
    )
    if metadata["choices"]:
        descriptor.additional_constraints = "one of: " + ", ".join(metadata["choices"])
    if metadata["low"] is not None:
        if isinstance(field.default, float):
            limits = FloatingPointRange(
                from_value=float(metadata["low"]), to_value=float(metadata["high"])
            )
            descriptor.floating_point_range = [limits]
        else:
            limits = IntegerRange(from_value=int(metadata["low"]), to_value=int(metadata["high"]))
            descriptor.integer_range = [limits]
    return descriptor


def read(node: Node, parameters_type: type[ParametersT], **changes: object) -> ParametersT:
    """Take a snapshot of a node's parameters.

    Args:
        node: On which `declare` was called.
        parameters_type: The dataclass that was declared.
        **changes: Values that take the place of those of the node.

    Returns:
        The values.

    Raises:
        ConfigError: If a value is not possible; the message names the parameter.
    """
    values = {
        field.name: node.get_parameter(field.name).value
        for field in dataclasses.fields(parameters_type)
    }
    return parameters_type(**{**values, **changes})
