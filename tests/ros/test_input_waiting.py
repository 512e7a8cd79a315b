"""A goal of the live node waits for inputs that belong together, and its cancel ends the wait."""

from __future__ import annotations

import threading
import time

from sensor_msgs.msg import Image
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode
from tests.ros.graph import STATUS, finish, wait_for
from tests.ros.test_input_topics import make_image, make_mask


def test_goal_waits_for_a_late_mask_and_is_canceled_while_it_waits(graph):
    planner = graph.start(input_wait_sec=60.0, input_max_age_sec=0.0, default_prompt="lift it")
    image, mask = graph.publisher(Image, "image"), graph.publisher(Image, "target_mask")
    image.publish(make_image(20.0))
    wait_for(lambda: "image" in planner._inputs.ages_sec())
    handle = graph.send(PlanInteraction.Goal())
    start_sec = time.monotonic()
    finish(handle.cancel_goal_async())
    status, result = graph.result(handle)
    assert (status, result.error_code) == (STATUS.STATUS_CANCELED, ErrorCode.CANCELED)
    assert time.monotonic() - start_sec < 20.0
    handle = graph.send(PlanInteraction.Goal())
    # The first one is of another image.
    mask.publish(make_mask(5.0))
    late = threading.Timer(0.3, lambda: mask.publish(make_mask(20.0)))
    late.start()
    status, result = graph.result(handle)
    assert (status, result.error_msg) == (STATUS.STATUS_SUCCEEDED, "")
    assert result.motion.header.stamp.sec == 20
    late.join()
