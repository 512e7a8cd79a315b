"""A plan as a Rerun recording: https://rerun.io, which neither reads markers nor trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import intrinsics_from_field_of_view
from tavid_core.errors import MissingExtraError
from tavid_core.skeleton import LIMBS
from tavid_core.summary import summarize_plan
from tavid_core.target_box import estimate_target_size
from tavid_core.types import InteractionPlan, PointTrack
from tavid_core.visualize import CONTACT_COLOR, OTHER_COLOR, TRACK_COLORS, draw_overlay

__all__ = ["write_rerun"]

_POINT_RADIUS_M = 0.012
_LIMB_RADIUS_M = 0.005
_PATH_RADIUS_M = 0.003
_CONTACT_RADIUS_M = 0.02
_IMAGE_PLANE_DISTANCE_M = 0.5
_JPEG_QUALITY = 92


def write_rerun(plan: InteractionPlan, path: Path) -> None:
    """Write a plan as an .rrd file; open it with `rerun FILE`.

    The timeline "plan_time" begins at the image. Entities: `camera` with the input and its target,
    `rollout` with the imagined frames, `actor`, `hands`, `target` and `contact` in 3D, `summary`.

    Args:
        plan: What to write; metres, optical frame.
        path: File to write.

    Raises:
        MissingExtraError: If rerun-sdk is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise MissingExtraError.of("rerun", "rerun") from error
    writer = _Writer(rerun, plan)
    with rerun.RecordingStream("tavid_plan", send_properties=False) as recording:
        recording.save(path, default_blueprint=_arrange(rerun))
        writer.log_static(recording)
        for frame in range(plan.motion.num_frames):
            recording.set_time("plan_time", duration=frame / plan.rollout.fps)
            recording.set_time("frame", sequence=frame)
            writer.log_frame(recording, frame)
        recording.flush()


def _arrange(rerun: Any) -> Any:
    """Lay the views out: motion on the left, pictures and words on the right."""
    blueprint = rerun.blueprint
    return blueprint.Blueprint(
        blueprint.Horizontal(
            blueprint.Spatial3DView(origin="/", contents=["$origin/**", "- /rollout/**"]),
            blueprint.Vertical(
                blueprint.Spatial2DView(origin="/camera", name="input and target"),
                blueprint.Spatial2DView(origin="/rollout", name="imagined frames"),
                blueprint.TextDocumentView(origin="/summary", name="summary"),
            ),
            column_shares=[2, 1],
        ),
        collapse_panels=True,
    )


class _Writer:
    """Turns parts of a plan into entities."""

    def __init__(self, rerun: Any, plan: InteractionPlan) -> None:
        self._rerun = rerun
        self._plan = plan
        self._size_m = estimate_target_size(plan)

    def log_static(self, recording: Any) -> None:
        """Log what holds at all times."""
        rerun, plan = self._rerun, self._plan
        request, motion = plan.request, plan.motion
        height, width = request.image.shape[:2]
        camera = request.intrinsics or intrinsics_from_field_of_view(width, height)
        recording.log("/", rerun.ViewCoordinates.RDF, static=True)
        pinhole = rerun.Pinhole(
            focal_length=[camera.fx, camera.fy],
            principal_point=[camera.cx, camera.cy],
            resolution=[width, height],
            camera_xyz=rerun.ViewCoordinates.RDF,
            image_plane_distance=_IMAGE_PLANE_DISTANCE_M,
        )
        recording.log("camera", pinhole, static=True)
        overlay = draw_overlay(request.image, request.target_mask, plan.rollout.attention_map)
        recording.log("camera/overlay", self._picture(overlay), static=True)
        mask = rerun.SegmentationImage(request.target_mask.astype(np.uint8), opacity=0.3)
        recording.log("camera/target_mask", mask, static=True)
        for track in (*motion.hands, motion.target):
            self._log_path(recording, track)
        text = f"```\n{summarize_plan(plan)}\n```"
        recording.log("summary", rerun.TextDocument(text, media_type="text/markdown"), static=True)

    def log_frame(self, recording: Any, frame: int) -> None:
        """Log what one frame shows; what is lost in it is cleared."""
        motion = self._plan.motion
        recording.log("rollout", self._picture(self._plan.rollout.frames[frame]))
        self._log_points(recording, "actor/points", motion.body, frame)
        self._log_points(recording, "hands/points", motion.hands, frame)
        self._log_limbs(recording, frame)
        self._log_box(recording, frame)
        contact = motion.contact
        if contact.point_camera_m is not None and frame == (contact.start_frame or 0):
            point = self._rerun.Points3D(
                [contact.point_camera_m],
                colors=[CONTACT_COLOR],
                radii=_CONTACT_RADIUS_M,
                labels=["contact"],
            )
            recording.log("contact", point)

    def _picture(self, image: NDArray[np.uint8]) -> Any:
        return self._rerun.Image(image).compress(jpeg_quality=_JPEG_QUALITY)

    def _log_path(self, recording: Any, track: PointTrack) -> None:
        known = track.positions_camera_m[np.isfinite(track.positions_camera_m).all(axis=1)]
        if len(known) > 1:
            color = TRACK_COLORS.get(track.name, OTHER_COLOR)
            strips = self._rerun.LineStrips3D([known], colors=[color], radii=_PATH_RADIUS_M)
            parent = "target" if track is self._plan.motion.target else f"hands/{track.name}"
            recording.log(f"{parent}/path", strips, static=True)

    def _log_points(
        self, recording: Any, entity: str, tracks: tuple[PointTrack, ...], frame: int
    ) -> None:
        known = [track for track in tracks if np.isfinite(track.positions_camera_m[frame]).all()]
        points = self._rerun.Points3D(
            np.array([track.positions_camera_m[frame] for track in known]).reshape(-1, 3),
            colors=[TRACK_COLORS.get(track.name, OTHER_COLOR) for track in known],
            radii=_POINT_RADIUS_M,
            labels=[track.name for track in known],
            show_labels=False,
        )
        recording.log(entity, points)

    def _log_limbs(self, recording: Any, frame: int) -> None:
        motion = self._plan.motion
        places = {
            track.name: track.positions_camera_m[frame] for track in (*motion.body, *motion.hands)
        }
        limbs = [
            np.stack([places[start], places[end]])
            for start, end in LIMBS
            if start in places and end in places
        ]
        known = [limb for limb in limbs if np.isfinite(limb).all()]
        strips = self._rerun.LineStrips3D(known, colors=[OTHER_COLOR], radii=_LIMB_RADIUS_M)
        recording.log("actor/skeleton", strips)

    def _log_box(self, recording: Any, frame: int) -> None:
        motion = self._plan.motion
        place, turn = motion.target.positions_camera_m[frame], motion.target_quaternions_xyzw[frame]
        if self._size_m is None or not np.isfinite(place).all():
            recording.log("target/box", self._rerun.Clear(recursive=False))
            return
        quaternion = turn if np.isfinite(turn).all() else np.array([0.0, 0.0, 0.0, 1.0])
        box = self._rerun.Boxes3D(
            centers=[place],
            sizes=[self._size_m],
            quaternions=[self._rerun.Quaternion(xyzw=quaternion)],
            colors=[TRACK_COLORS["target"]],
            labels=["target"],
        )
        recording.log("target/box", box)
