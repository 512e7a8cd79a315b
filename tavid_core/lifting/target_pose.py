"""Position and orientation of the target in every frame, from depth in frame 0 only.

Its pixels of frame 0 are points in metres. Optical flow carries them to the next frame, PnP makes a
pose of that, and comparing colours, first with the frame before and then with frame 0 itself,
refines it. Where the frame brings its own depth, Kabsch takes the place of PnP. All of it needs a
print or another texture on the target, some 40 pixels wide at least; otherwise nothing is returned
but the reason, and the caller is left with position alone.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.camera import project, unproject
from tavid_core.lifting.photometric import Alignment, BodyPixels, align
from tavid_core.lifting.point_tracks import choose_points, follow_points
from tavid_core.lifting.pose_gate import agrees_with_mask
from tavid_core.lifting.rigid_pose import RigidPose, solve_kabsch, solve_pnp, transform
from tavid_core.lifting.target import TargetTrack
from tavid_core.lifting.target_mask import CarriedMask
from tavid_core.types import CameraIntrinsics

__all__ = ["MIN_SIDE_PX", "PoseInputs", "TargetPoses", "follow_pose"]

# Below this flow and PnP are decimetres off.
MIN_SIDE_PX = 36.0
MIN_TRACKS = 30
# With fewer tracks than this in one frame its pose starts from the one before.
MIN_FRAME_TRACKS = 10
CONFIRMED_SHARE = 0.6
MIN_KABSCH_INLIERS = 0.7
MAX_BODY_PIXELS = 900
# Of the target's side: a resting target's points stay within this.
STILL_SHARE = 0.012
MIN_STILL_PX = 0.6
# Likeness (correlation) with the frame before and with frame 0.
MIN_STEP_LIKENESS, MIN_FIRST_LIKENESS = 0.85, 0.85
MIN_VISIBLE_SHARE = 0.25
MIN_KEY_FACING = 0.3
# From one frame to the next, as a share of the distance, and radians.
MAX_DEPTH_STEP, MAX_TURN_STEP_RAD = 0.15, 0.7
# From the place where the target's look was found, in its sides.
MAX_TRACK_DISTANCE_SIDES = 1.0
MIN_MEASURED_SHARE = 0.7


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseInputs:
    """What a pose is made from, all at the size of the rollout.

    Args:
        frames: RGB, uint8 (T, h, w, 3).
        mask: The target in frame 0, bool (h, w).
        depth_m: Of frame 0, float32 (h, w), metres; NaN or 0 = unknown.
        center_m: The target's centre in frame 0, float64 (3,), optical frame, metres.
        intrinsics: Of the rollout.
        later_depth_m: Of every frame, float32 (T, h, w), metres, or None.
        carried: The target's mask in every frame, against which poses are checked, or None.
    """

    frames: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    depth_m: NDArray[np.float32]
    center_m: NDArray[np.float64]
    intrinsics: CameraIntrinsics
    later_depth_m: NDArray[np.float32] | None = None
    carried: CarriedMask | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetPoses:
    """The target's pose in every frame, or why there is none.

    Args:
        rotations: camera_from_target, float64 (T, 3, 3); identity in frame 0.
        positions_m: Of its centre, float64 (T, 3), metres, optical frame.
        confidence: Of each frame's pose, float32 (T,), 0..1; 0 where it is filled in.
        onset_frame: First frame in which it moves, or None if it rests.
        reason: Why there are no poses; empty if there are. Without poses all arrays are of frame 0.
    """

    rotations: NDArray[np.float64]
    positions_m: NDArray[np.float64]
    confidence: NDArray[np.float32]
    onset_frame: int | None
    reason: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the poses were measured."""
        return not self.reason

    @classmethod
    def unknown(
        cls,
        center_m: NDArray[np.float64],
        num_frames: int,
        reason: str,
        onset_frame: int | None = None,
    ) -> TargetPoses:
        """Make what stands for poses that cannot be measured.

        Args:
            center_m: The target's centre in frame 0, float64 (3,), metres.
            num_frames: Of the video.
            reason: Why they cannot.
            onset_frame: First frame in which it is seen to move all the same, or None.

        Returns:
            The pose of frame 0 for all frames, with confidence 0.
        """
        return cls(
            rotations=np.tile(np.eye(3), (num_frames, 1, 1)),
            positions_m=np.tile(np.asarray(center_m, dtype=np.float64), (num_frames, 1)),
            confidence=np.zeros(num_frames, dtype=np.float32),
            onset_frame=onset_frame,
            reason=reason,
        )


def follow_pose(inputs: PoseInputs, track: TargetTrack) -> TargetPoses:
    """Find the target's pose in every frame.

    Args:
        inputs: Pictures, mask and depth.
        track: Where the target's look was found; poses that contradict it are not believed.

    Returns:
        The poses, or the reason why there are none.
    """
    num_frames = len(inputs.frames)
    if track.side_px < MIN_SIDE_PX:
        reason = f"the target is {track.side_px:.0f} px wide; {MIN_SIDE_PX:.0f} show how it turns"
        return TargetPoses.unknown(inputs.center_m, num_frames, reason)
    walker = _PoseWalker(inputs, track)
    if len(walker.points_m) < MIN_TRACKS:
        reason = (
            f"the target has too little texture to see it turn: {len(walker.points_m)} points can "
            f"be followed, {MIN_TRACKS} are needed"
        )
        return TargetPoses.unknown(inputs.center_m, num_frames, reason)
    for t in range(1, num_frames):
        walker.step(t)
    onset = walker.onset_frame
    is_moving = np.arange(num_frames) >= (num_frames if onset is None else onset)
    confidence = np.array(walker.confidence, dtype=np.float32)
    measured_share = float((confidence[is_moving] > 0).mean()) if is_moving.any() else 1.0
    if measured_share < MIN_MEASURED_SHARE:
        reason = (
            f"the target's turn is seen in only {measured_share:.0%} of the frames in which it "
            f"moves, {MIN_MEASURED_SHARE:.0%} are needed"
        )
        return TargetPoses.unknown(inputs.center_m, num_frames, reason, onset)
    return TargetPoses(
        rotations=np.stack(walker.rotations),
        positions_m=np.stack(walker.positions_m),
        confidence=confidence,
        onset_frame=onset,
    )


class _PoseWalker:
    """State of the forward pass: the last poses, and the points they were made from."""

    def __init__(self, inputs: PoseInputs, track: TargetTrack) -> None:
        self._inputs, self._track = inputs, track
        self._grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in inputs.frames]
        surface = _Surface(inputs)
        self._body = surface.body_pixels()
        first = choose_points(self._grays[0], surface.core)
        points = surface.points_at(first)
        is_known = np.isfinite(points).all(axis=-1)
        self.points_m, self._first_pixels = points[is_known], first[is_known]
        first_center = project(inputs.center_m, inputs.intrinsics)
        self._first_center = first_center.astype(np.float32)
        self.rotations = [np.eye(3)]
        self.positions_m = [np.asarray(inputs.center_m, dtype=np.float64)]
        self.confidence = [1.0]
        self.onset_frame: int | None = None
        # The last frame whose pose was believed: all flow and all comparisons start there.
        self._key = 0

    def step(self, t: int) -> None:
        """Find the pose in frame t."""
        if self.onset_frame is None:
            if self._rests(t):
                self._record(self.rotations[0], self.positions_m[0], 1.0)
                self._key = t
                return
            self.onset_frame = t
        guess = self._start(t)
        found = self._refine(t, *guess)
        if found is not None and self._is_believable(t, found):
            self._record(found.rotation, found.position_m, max(0.0, found.likeness))
            self._key = t
        else:
            self._record(self.rotations[-1], self.positions_m[-1], 0.0)

    def _record(
        self, rotation: NDArray[np.float64], position_m: NDArray[np.float64], confidence: float
    ) -> None:
        self.rotations.append(rotation)
        self.positions_m.append(position_m)
        self.confidence.append(confidence)

    def _rests(self, t: int) -> bool:
        now, is_believed = follow_points(self._grays[0], self._grays[t], self._first_pixels)
        if is_believed.sum() < MIN_FRAME_TRACKS:
            return not self._track.has_moved[t]
        moved_px = np.linalg.norm(now - self._first_pixels, axis=-1)[is_believed]
        limit_px = max(MIN_STILL_PX, STILL_SHARE * self._track.side_px)
        # A hand over it moves some points; a target that moves moves most.
        return float(np.median(moved_px)) < limit_px

    def _start(self, t: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """First guess of the pose: flow from the last frame, then PnP or Kabsch."""
        rotation, position_m = self.rotations[-1], self.positions_m[-1]
        before = self._pixels(rotation, position_m)
        guesses = [before]
        if self._key == t - 1 and t >= 2:
            turn = rotation @ self.rotations[-2].T
            ahead_m = 2 * position_m - self.positions_m[-2]
            guesses.append(self._pixels(turn @ rotation, ahead_m))
        if self._track.has_moved[t]:
            way = self._track.pixels[t] - self._track.pixels[0]
            middle = project(position_m, self._inputs.intrinsics).astype(np.float32)
            guesses.append(before + self._first_center + way - middle)
        now, is_believed = self._flow(t, before, guesses)
        pose = self._solve(t, now, is_believed)
        if pose is None or pose.is_inlier.sum() < MIN_FRAME_TRACKS:
            return rotation, position_m
        return pose.rotation, pose.position_m

    def _flow(
        self, t: int, before: NDArray[np.float32], guesses: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Flow since the last believed frame, from the first guess that most points confirm."""
        grays = self._grays[self._key], self._grays[t]
        best = before, np.zeros(len(before), dtype=bool)
        for guess in guesses[::-1]:
            for level in (1, 3):
                found = follow_points(*grays, before, guess, max_level=level)
                best = max(best, found, key=lambda flow: int(flow[1].sum()))
                if best[1].mean() > CONFIRMED_SHARE:
                    return best
        return best

    def _solve(
        self, t: int, pixels: NDArray[np.float32], is_believed: NDArray[np.bool_]
    ) -> RigidPose | None:
        later = self._inputs.later_depth_m
        if later is not None:
            measured = _lookup(later[t], pixels, self._inputs.intrinsics)
            measured[~is_believed] = np.nan
            pose = solve_kabsch(self.points_m, measured)
            if pose is not None and pose.inlier_share >= MIN_KABSCH_INLIERS:
                return pose
        return solve_pnp(
            self.points_m[is_believed],
            pixels[is_believed].astype(np.float64),
            self._inputs.intrinsics,
        )

    def _refine(
        self, t: int, rotation: NDArray[np.float64], position_m: NDArray[np.float64]
    ) -> Alignment | None:
        """Align with the frame before, then with frame 0 as long as they look alike."""
        frames, camera = self._inputs.frames, self._inputs.intrinsics
        last = self._body_seen_in(self._key)
        if last is None:
            return None
        near = align(frames[self._key], frames[t], last, rotation, position_m, camera)
        if near.likeness < MIN_STEP_LIKENESS:
            return None
        far = align(frames[0], frames[t], self._body, near.rotation, near.position_m, camera)
        return far if far.likeness >= MIN_FIRST_LIKENESS else near

    def _body_seen_in(self, t: int) -> BodyPixels | None:
        """The body's pixels where they were seen in an earlier frame."""
        rotation, position_m = self.rotations[t], self.positions_m[t]
        points = transform(self._body.points_m, rotation, position_m)
        rays = points / np.linalg.norm(points, axis=-1, keepdims=True)
        facing = -((self._body.normals @ rotation.T) * rays).sum(axis=-1)
        is_seen = facing > MIN_KEY_FACING
        if not is_seen.any():
            return None
        pixels = project(points[is_seen], self._inputs.intrinsics).astype(np.float32)
        return BodyPixels(self._body.points_m[is_seen], self._body.normals[is_seen], pixels)

    def _is_believable(self, t: int, found: Alignment) -> bool:
        last_m, place_m = self.positions_m[-1], found.position_m
        turn = found.rotation @ self.rotations[-1].T
        angle = float(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
        is_smooth = abs(place_m[2] / last_m[2] - 1) < MAX_DEPTH_STEP and angle < MAX_TURN_STEP_RAD
        is_where_it_looks = True
        if self._track.has_moved[t] and place_m[2] > 0:
            pixel = project(place_m, self._inputs.intrinsics)
            way = self._track.pixels[t] - self._track.pixels[0]
            away_px = float(np.linalg.norm(pixel - self._first_center - way))
            is_where_it_looks = away_px < MAX_TRACK_DISTANCE_SIDES * self._track.side_px
        is_seen = found.visible_share >= MIN_VISIBLE_SHARE
        return is_smooth and is_where_it_looks and is_seen and self._agrees(t, found)

    def _agrees(self, t: int, found: Alignment) -> bool:
        carried = self._inputs.carried
        if carried is None or carried.is_lost[t]:
            return True
        surface = transform(self._body.points_m, found.rotation, found.position_m)
        if surface[:, 2].min() <= 0:
            return False
        hull_pixels = project(surface, self._inputs.intrinsics)
        depth_ratio = float(found.position_m[2] / self.positions_m[0][2])
        first_area_px = float(self._inputs.mask.sum())
        return agrees_with_mask(carried.masks[t], first_area_px, hull_pixels, depth_ratio)

    def _pixels(
        self, rotation: NDArray[np.float64], position_m: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        points = transform(self.points_m, rotation, position_m)
        return project(points, self._inputs.intrinsics).astype(np.float32)


class _Surface:
    """The target's visible surface in frame 0, smoothed against the depth camera's noise."""

    def __init__(self, inputs: PoseInputs) -> None:
        kernel = np.ones((5, 5), np.uint8)
        depth_m = np.where(np.isfinite(inputs.depth_m), inputs.depth_m, 0).astype(np.float32)
        is_known = inputs.mask & (depth_m > 0)
        if is_known.any():
            # What a mask's rim catches of the wall behind is no part of the target.
            middle_m = float(np.median(depth_m[is_known]))
            is_known &= np.abs(depth_m - middle_m) < 0.25 * middle_m
        self.core = cv2.erode(is_known.astype(np.uint8), kernel) > 0
        smooth = cv2.medianBlur(depth_m, 5)
        share = cv2.GaussianBlur(self.core.astype(np.float32), (0, 0), 2.0)
        total = cv2.GaussianBlur(np.where(self.core, smooth, 0), (0, 0), 2.0)
        self._depth_m = np.where(self.core, total / np.maximum(share, 1e-6), np.nan)
        self._inputs = inputs

    def points_at(self, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
        """Points under pixels, relative to the target's centre; NaN where unknown."""
        return _lookup(self._depth_m, pixels, self._inputs.intrinsics) - self._inputs.center_m

    def body_pixels(self) -> BodyPixels:
        """A regular part of the surface's pixels with their normals."""
        height, width = self._depth_m.shape
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
        points = unproject(grid, self._depth_m, self._inputs.intrinsics)
        along_x = np.roll(points, -2, axis=1) - np.roll(points, 2, axis=1)
        along_y = np.roll(points, -2, axis=0) - np.roll(points, 2, axis=0)
        normals = np.cross(along_y, along_x)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-12
        normals = np.where(normals[..., 2:] > 0, -normals, normals)
        rows, columns = np.nonzero(self.core & np.isfinite(normals).all(axis=-1))
        step = max(1, -(-len(rows) // MAX_BODY_PIXELS))
        rows, columns = rows[::step], columns[::step]
        return BodyPixels(
            points_m=points[rows, columns] - self._inputs.center_m,
            normals=normals[rows, columns],
            pixels=np.stack([columns, rows], axis=1).astype(np.float32),
        )


def _lookup(
    depth_m: NDArray[np.floating], pixels: NDArray[np.float32], intrinsics: CameraIntrinsics
) -> NDArray[np.float64]:
    height, width = depth_m.shape
    columns = np.clip(np.rint(pixels[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.rint(pixels[:, 1]).astype(int), 0, height - 1)
    return unproject(pixels, depth_m[rows, columns], intrinsics)
