"""The segmenter's service: answers with a mask or with advice."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import Point32
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header, String
from tavid.srv import SegmentTarget

from tavid_ros import conversions
from tests.drawn import draw_many_discs
from tests.ros.graph import finish, wait_for
from tests.ros.segmenter_bench import FRAME_ID, Bench, overlap
from tests.tiny_detector import save_tiny_detector


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


def test_requests_on_the_latest_image_make_a_target(bench):
    bench.start()
    bench.show(sec=4)
    x, y = bench.clip.object_pixels[0, 0]
    answer = bench.ask(points=[Point32(x=float(x), y=float(y))])
    assert answer.success, answer.message
    assert answer.method == "grabcut"
    assert 0.0 < answer.score <= 1.0
    assert "marked by grabcut" in answer.message
    assert (answer.target_mask.header.stamp.sec, answer.target_mask.header.frame_id) == (
        4,
        FRAME_ID,
    )
    mask = conversions.mask_from_message(answer.target_mask)
    assert overlap(mask, bench.clip.masks[0]) > 0.8
    np.testing.assert_array_equal(bench.wait_mask(4), mask)
    assert bench.segmenter._target.name == "following"


def test_requests_with_their_own_image_are_answered_only(bench):
    bench.start()
    header = Header(frame_id="other")
    header.stamp.sec = 77
    image = conversions.message_from_image(bench.clip.frames[0], header)
    rows, columns = np.nonzero(bench.clip.masks[2])
    box = RegionOfInterest(
        x_offset=int(columns.min()) - 3,
        y_offset=int(rows.min()) - 3,
        width=int(np.ptp(columns)) + 7,
        height=int(np.ptp(rows)) + 7,
    )
    # Side by side: none waits for a thread that another one holds.
    requests = [SegmentTarget.Request(image=image, box=box) for _ in range(6)]
    futures = [bench.segment_client.call_async(request) for request in requests]
    for future in futures:
        answer = finish(future)
        assert answer.success, answer.message
        assert answer.target_mask.header == header
        mask = conversions.mask_from_message(answer.target_mask)
        assert overlap(mask, bench.clip.masks[2]) > 0.7
    assert not bench.masks
    assert bench.segmenter._target.name == "waiting for a click"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({}, "INVALID_INPUT: points must hold a click on the target"),
        ({"points": [Point32(x=-9.0)]}, "INVALID_INPUT: points must lie in the image"),
        ({"points": [Point32()], "labels": [1, 1]}, "labels must be one per point"),
        ({"points": [Point32()], "labels": [7]}, "labels must be 0 or 1"),
        ({"label": "mug", "points": [Point32()]}, "label must come without points"),
        ({"points": [Point32()] * 65}, "points must be at most 64, got 65"),
        ({"labels": [1] * 100_000}, "labels must be at most 64, got 100000"),
        ({"label": "m" * 1_000_000}, "label must have 1 to 128 printable characters"),
        ({"label": "mug"}, "detector must name a model for a label, got none"),
        ({"image": Image(height=4, width=4, encoding="rgb8", step=12)}, "INVALID_INPUT: image"),
    ],
)
def test_bad_requests_are_refused_with_advice(shared_bench, fields, match):
    answer = shared_bench.ask(**fields)
    assert not answer.success
    assert match in answer.message
    assert answer.target_mask.width == 0


@pytest.fixture(scope="module")
def shared_bench():
    made = Bench()
    made.start()
    made.show()
    yield made
    made.close()


def test_a_request_without_any_image_is_refused(bench):
    bench.start()
    answer = bench.ask(points=[Point32(x=3.0, y=3.0)])
    assert not answer.success
    assert "STALE_INPUT: image must come before segment, got none" in answer.message


def test_labels_are_found_by_the_detector(bench, tmp_path):
    node = bench.start(detector=str(save_tiny_detector(tmp_path)), follow=False)
    # transformers takes its time to be imported.
    wait_for(lambda: node._process.load_time_sec is not None, 200.0)
    bench.show(sec=3, image=draw_many_discs())
    bench.send("clicked_label", String(data="red mug"))
    mask = bench.wait_mask(3)
    assert 0.004 < mask.mean() < 0.1
    answer = bench.ask(label="red mug")
    assert answer.method == "owlvit+grabcut"
    assert "'red mug' found" in answer.message
