"""The segmenter over DDS: clicks become masks stamped like their image."""

from __future__ import annotations

import time

import numpy as np
import pytest
from geometry_msgs.msg import Point, Point32, PointStamped, Polygon, PolygonStamped
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from tavid_core.errors import ConfigError
from tavid_ros import conversions
from tavid_ros.publishers import LATCHED_QOS
from tests.ros.graph import finish, wait_for
from tests.ros.segmenter_bench import FRAME_ID, Bench, overlap


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("target", [0, 2])
def test_a_click_becomes_a_mask_with_the_header_of_its_image(bench, target):
    bench.start(follow=False)
    bench.show(sec=7)
    bench.click(bench.clip.object_pixels[0, target])
    assert overlap(bench.wait_mask(7), bench.clip.masks[target]) > 0.8
    wait_for(lambda: bench.overlays)
    assert bench.overlays[-1].header == bench.masks[-1].header
    bench.show(sec=8)
    time.sleep(0.5)
    assert len(bench.masks) == 1


def test_the_mask_is_latched_for_late_joiners(bench):
    bench.start(follow=False)
    bench.show()
    bench.click(bench.clip.object_pixels[0, 0])
    bench.wait_mask(1)
    late: list[Image] = []
    bench.node.create_subscription(Image, "target_mask", late.append, LATCHED_QOS)
    wait_for(lambda: late)


def test_a_click_means_the_image_of_its_stamp(bench):
    bench.start(follow=False)
    bench.show(sec=3)
    bench.show(sec=4, image=np.full_like(bench.clip.frames[0], 90))
    bench.click(bench.clip.object_pixels[0, 0], sec=3)
    assert overlap(bench.wait_mask(3), bench.clip.masks[0]) > 0.8


def test_box_and_several_points(bench):
    bench.start(follow=False)
    bench.show(sec=1)
    rows, columns = np.nonzero(bench.clip.masks[2])
    box = RegionOfInterest(
        x_offset=int(columns.min()) - 3,
        y_offset=int(rows.min()) - 3,
        width=int(np.ptp(columns)) + 7,
        height=int(np.ptp(rows)) + 7,
    )
    bench.send("clicked_box", box)
    assert overlap(bench.wait_mask(1), bench.clip.masks[2]) > 0.7
    bench.show(sec=2)
    (x0, y0), (x2, y2) = bench.clip.object_pixels[0, [0, 2]]
    points = [Point32(x=x0, y=y0, z=1.0), Point32(x=x2, y=y2, z=-1.0)]
    header = Header(frame_id=FRAME_ID)
    bench.send("clicked_points", PolygonStamped(header=header, polygon=Polygon(points=points)))
    assert overlap(bench.wait_mask(2), bench.clip.masks[0]) > 0.8


def test_a_target_is_followed_until_it_is_lost_or_cleared(bench):
    bench.start(follow_rate_hz=50.0, regain_sec=0.0)
    bench.show(0, sec=1)
    bench.click(bench.clip.object_pixels[0, 1])
    bench.wait_mask(1)
    for frame in range(1, 5):
        bench.show(frame, sec=1 + frame)
        mask = bench.wait_mask(1 + frame)
    assert overlap(mask, bench.clip.masks[1]) > 0.7
    bench.show(sec=50, image=np.full_like(bench.clip.frames[0], 90))
    wait_for(lambda: bench.segmenter._target.name == "lost")
    assert not [m for m in bench.masks if m.header.stamp.sec == 50]
    bench.show(0, sec=60)
    bench.click(bench.clip.object_pixels[0, 0])
    assert overlap(bench.wait_mask(60), bench.clip.masks[0]) > 0.8
    answer = finish(bench.clear_client.call_async(Trigger.Request()))
    assert (answer.success, answer.message) == (True, "target forgotten")
    bench.show(0, sec=61)
    time.sleep(0.5)
    assert bench.masks[-1].header.stamp.sec == 60


def test_an_image_of_another_size_ends_following(bench):
    bench.start(follow_rate_hz=50.0)
    bench.show()
    bench.click(bench.clip.object_pixels[0, 0])
    bench.wait_mask(1)
    bench.show(sec=2, image=np.zeros((40, 50, 3), np.uint8))
    wait_for(lambda: bench.segmenter._target.name == "lost")


def test_bad_input_is_refused_and_a_good_click_works_right_after(bench):
    bench.start(follow=False)
    place = bench.clip.object_pixels[0, 0]
    bench.click(place)
    bench.wait_refused("clicked_point", 1)
    bench.send("image", Image(height=4, width=4, encoding="rgb8", step=12))
    bench.wait_refused("image")
    bench.show()
    bad_places = [(-5, 3), (1e300, 2), (np.nan, np.inf)]
    for count, bad in enumerate(bad_places, start=2):
        bench.click(bad)
        bench.wait_refused("clicked_point", count)
    bench.click(place, frame_id="map")
    bench.wait_refused("clicked_point", 5)
    # RViz whose fixed frame is the camera's: metres, in the frame of the image.
    world = PointStamped(header=Header(frame_id=FRAME_ID), point=Point(x=0.1, y=0.2, z=1.1))
    bench.send("clicked_point", world)
    bench.wait_refused("clicked_point", 6)
    bench.send("clicked_points", PolygonStamped())
    bench.wait_refused("clicked_points")
    bench.send("clicked_box", RegionOfInterest(x_offset=2**32 - 1, width=2**32 - 1))
    bench.wait_refused("clicked_box")
    bench.send("clicked_points", PolygonStamped(polygon=Polygon(points=[Point32()] * 100_000)))
    bench.wait_refused("clicked_points", 2)
    bench.send("clicked_label", String(data="mug" * 1_000_000))
    bench.wait_refused("clicked_label")
    assert not bench.masks
    bench.click(place)
    assert overlap(bench.wait_mask(1), bench.clip.masks[0]) > 0.8
    assert bench.segmenter._process.num_recent_deaths == 0


def test_an_old_image_is_refused(bench):
    bench.start(image_max_age_sec=0.05)
    bench.show()
    time.sleep(0.2)
    bench.click(bench.clip.object_pixels[0, 0])
    bench.wait_refused("clicked_point")
    assert not bench.masks


def test_compressed_images_too(bench):
    bench.start(use_compressed_image=True, follow=False)
    header = Header(frame_id=FRAME_ID)
    header.stamp.sec = 5
    bench.send("image/compressed", CompressedImage(data=[1, 2, 3]))
    bench.wait_refused("image")
    compressed = conversions.compressed_from_image(bench.clip.frames[0], header)
    bench.send("image/compressed", compressed)
    wait_for(lambda: bench.segmenter._images.latest)
    bench.click(bench.clip.object_pixels[0, 0])
    assert overlap(bench.wait_mask(5), bench.clip.masks[0]) > 0.8


def test_impossible_settings_are_told_at_once(bench):
    with pytest.raises(ConfigError, match="checkpoint must name"):
        bench.start(method="sam")
    with pytest.raises(ConfigError, match="method must be one of"):
        bench.start(method="magic")
