"""People in real pictures, by the models inside the mediapipe wheel (extra `pose`).

33 points of each person with a guess of their places in metres, and 21 points per hand where hands
are seen. mediapipe brings its models with it; nothing is downloaded.

Shape suffixes: T frames, L landmarks of mediapipe, K keypoints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import MissingExtraError, check_shape
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.lifting.people import find_people

__all__ = ["MediapipeDetector", "assemble_keypoints"]

# Name: landmarks of the body model whose mean it is.
LANDMARKS = {
    "head": (7, 8),
    "left_shoulder": (11,),
    "right_shoulder": (12,),
    "left_elbow": (13,),
    "right_elbow": (14,),
    "left_hand": (15, 17, 19),
    "right_hand": (16, 18, 20),
    "left_wrist": (15,),
    "right_wrist": (16,),
    "left_index_knuckle": (19,),
    "right_index_knuckle": (20,),
    "left_pinky_knuckle": (17,),
    "right_pinky_knuckle": (18,),
    "left_hip": (23,),
    "right_hip": (24,),
    "left_knee": (25,),
    "right_knee": (26,),
    "left_ankle": (27,),
    "right_ankle": (28,),
}
# Name without side: landmarks of the hand model.
HAND_LANDMARKS = {
    "wrist": (0,),
    "hand": (0, 5, 17),
    "index_knuckle": (5,),
    "pinky_knuckle": (17,),
    "index_tip": (8,),
    "thumb_tip": (4,),
}
NUM_BODY, NUM_HAND = 33, 21
# Of the shoulders' distance: a hand of the hand model farther from the body's wrist is another's.
MAX_WRIST_GAP = 0.6
MIN_DETECTION = 0.5


class MediapipeDetector:
    """Find people in pictures; the network follows each of them from frame to frame.

    Raises:
        MissingExtraError: If mediapipe is not installed.
    """

    def __init__(self) -> None:
        try:
            import mediapipe
        except ImportError as error:
            raise MissingExtraError.of("mediapipe", "pose") from error
        self._solutions = mediapipe.solutions

    def __call__(self, frames: NDArray[np.uint8]) -> Keypoints:
        """Find the points.

        Args:
            frames: RGB, uint8 (T, h, w, 3).

        Returns:
            One row per frame, in the pixels of `frames`; NaN where nobody is seen.
        """
        check_shape("frames", frames.shape, (None, None, None, 3), "Stack RGB frames.")
        return find_people(self._detect_one, frames)

    def _detect_one(self, frames: NDArray[np.uint8]) -> Keypoints:
        num_frames, height, width = frames.shape[:3]
        bodies = np.full((num_frames, NUM_BODY, 4), np.nan)
        bodies_m = np.full((num_frames, NUM_BODY, 3), np.nan)
        hands = np.full((num_frames, 2, NUM_HAND, 3), np.nan)
        # Complexity 1 is the only one whose weights are in the wheel.
        with (
            self._solutions.pose.Pose(
                model_complexity=1, min_detection_confidence=MIN_DETECTION
            ) as pose,
            self._solutions.hands.Hands(
                max_num_hands=2, min_detection_confidence=MIN_DETECTION
            ) as palms,
        ):
            for t, frame in enumerate(frames):
                picture = np.ascontiguousarray(frame)
                found = pose.process(picture)
                if found.pose_landmarks is not None:
                    bodies[t] = _values(found.pose_landmarks, ("x", "y", "visibility", "presence"))
                    bodies_m[t] = _values(found.pose_world_landmarks, ("x", "y", "z"))
                for index, landmarks in enumerate(
                    palms.process(picture).multi_hand_landmarks or []
                ):
                    if index < 2:
                        hands[t, index] = _values(landmarks, ("x", "y", "z"))
        # mediapipe measures from the picture's upper left corner, in its widths and heights.
        size = np.array([width, height])
        bodies[..., :2] = bodies[..., :2] * size - 0.5
        hands[..., :2] = hands[..., :2] * size - 0.5
        return assemble_keypoints(bodies[..., :3], bodies_m, hands[..., :2])


def _values(landmarks: Any, fields: tuple[str, ...]) -> list[list[float]]:
    return [[getattr(mark, field) for field in fields] for mark in landmarks.landmark]


def assemble_keypoints(
    bodies_TL3: NDArray[np.float64],
    bodies_m_TL3: NDArray[np.float64],
    hands_T2L2: NDArray[np.float64],
) -> Keypoints:
    """Turn mediapipe's landmarks into named keypoints.

    Args:
        bodies_TL3: Column, row and visibility of the 33 landmarks, NaN without a person.
        bodies_m_TL3: Their places in metres from the middle of the hips, camera axes.
        hands_T2L2: Pixels of up to two hands in any order, NaN where none.

    Returns:
        Keypoints with guessed relative places.
    """
    names = [*LANDMARKS, *(f"{side}_{part}" for part in FINGERS for side in ("left", "right"))]
    num_frames = len(bodies_TL3)
    pixels = np.full((num_frames, len(names), 2), np.nan)
    confidence = np.zeros((num_frames, len(names)))
    relative_m = np.full((num_frames, len(names), 3), np.nan)
    for k, marks in enumerate(LANDMARKS.values()):
        pixels[:, k] = bodies_TL3[:, marks, :2].mean(axis=1)
        confidence[:, k] = np.nan_to_num(bodies_TL3[:, marks, 2].min(axis=1))
        relative_m[:, k] = bodies_m_TL3[:, marks].mean(axis=1)
    for t, side, hand in _match_hands(pixels, names, hands_T2L2):
        for part, marks in HAND_LANDMARKS.items():
            k = names.index(f"{side}_{part}")
            pixels[t, k] = hands_T2L2[t, hand, marks].mean(axis=0)
            confidence[t, k] = max(confidence[t, names.index(f"{side}_wrist")], MIN_DETECTION)
    return Keypoints(
        names=tuple(names),
        pixels=pixels.astype(np.float32),
        confidence=np.clip(confidence, 0, 1).astype(np.float32),
        relative_m=relative_m.astype(np.float32),
    )


# Seen by the hand model alone.
FINGERS = ("index_tip", "thumb_tip")


def _match_hands(
    pixels: NDArray[np.float64], names: list[str], hands_T2L2: NDArray[np.float64]
) -> list[tuple[int, str, int]]:
    """Give each hand to the nearer wrist; the hand model's own left and right assume a mirror."""
    matches = []
    shoulders = [names.index(f"{side}_shoulder") for side in ("left", "right")]
    for t in range(len(pixels)):
        reach = MAX_WRIST_GAP * np.linalg.norm(pixels[t, shoulders[0]] - pixels[t, shoulders[1]])
        gaps = {
            (side, hand): np.linalg.norm(
                hands_T2L2[t, hand, 0] - pixels[t, names.index(f"{side}_wrist")]
            )
            for side in ("left", "right")
            for hand in (0, 1)
        }
        taken: set[object] = set()
        for (side, hand), gap in sorted(
            gaps.items(), key=lambda item: np.nan_to_num(item[1], nan=1e9)
        ):
            if gap <= reach and side not in taken and hand not in taken:
                matches.append((t, side, hand))
                taken |= {side, hand}
    return matches
