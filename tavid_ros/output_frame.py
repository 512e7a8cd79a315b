"""The frame that plans are published in."""

from __future__ import annotations

import collections
import threading

from tavid_core.types import PlanRequest
from tavid_ros.rigid_transform import RigidTransform
from tavid_ros.transform_tree import MissingTransformError, TransformTree

__all__ = ["OutputFrame"]

_NUM_REMEMBERED = 8


class OutputFrame:
    """Knows for each request how its plan gets into the wanted frame.

    A plan may take longer than transforms are remembered, so the look-up is made when the goal
    begins and kept until its plan is published. A goal whose transform is missing then ends before
    the model starts: nothing is ever published in a frame that was not asked for.

    Args:
        target_frame: The wanted frame, "" = the one of each image.
        tree: Where transforms are found.
    """

    def __init__(self, target_frame: str, tree: TransformTree) -> None:
        self.target_frame = target_frame.lstrip("/")
        self._tree = tree
        self._lock = threading.Lock()
        self._found: collections.OrderedDict[tuple[str, int], RigidTransform]
        self._found = collections.OrderedDict()
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last look-up failed, "" if it did not."""
        return self._problem

    def prepare(self, request: PlanRequest, tolerance_sec: float) -> None:
        """Look up the transform at the stamp of a request's image.

        Args:
            request: The question.
            tolerance_sec: How far from the stamp a transform may be.

        Raises:
            MissingTransformError: If there is none.
        """
        if not self.target_frame:
            return
        try:
            found = self._tree.look_up(
                self.target_frame, request.frame_id, request.stamp_ns, tolerance_sec
            )
        except MissingTransformError as error:
            self._problem = str(error)
            raise
        self._problem = ""
        with self._lock:
            self._found[request.frame_id, request.stamp_ns] = found
            self._found.move_to_end((request.frame_id, request.stamp_ns))
            while len(self._found) > _NUM_REMEMBERED:
                self._found.popitem(last=False)

    def find(self, request: PlanRequest, tolerance_sec: float) -> tuple[str, RigidTransform]:
        """Give what `prepare` found, or look it up now.

        Args:
            request: The question.
            tolerance_sec: As for `prepare`.

        Returns:
            The frame to publish in, and the transform to it from the image's frame.

        Raises:
            MissingTransformError: If there is none.
        """
        if not self.target_frame:
            return request.frame_id, RigidTransform.identity()
        key = (request.frame_id, request.stamp_ns)
        with self._lock:
            found = self._found.get(key)
        if found is None:
            self.prepare(request, tolerance_sec)
            found = self._found[key]
        return self.target_frame, found
