"""The plan page as text: self-contained, escaped, and honest in its first line."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tavid_core.lifting.body_mesh import mesh_body
from tavid_core.lifting.body_model import load_body_model
from tavid_core.page import render_page
from tavid_core.summary import describe_motion, describe_outcome, rate_outcome, summarize_plan
from tavid_core.types import Contact
from tests.drawn import draw_plan, fill_plan

HOSTILE = (
    "lift it</script><script>document.title='owned'</script><img src=x onerror=alert(1)> @@DATA@@"
)


class PageReader(HTMLParser):
    """Collect tags, and the text inside the element with one id."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.texts, self.open = [], [], {}, None

    def handle_starttag(self, tag, attributes):
        fields = dict(attributes)
        self.tags.append(tag)
        self.links += [fields[key] for key in ("src", "href") if key in fields]
        self.open = fields.get("id") or fields.get("class")

    def handle_data(self, data):
        if self.open:
            self.texts[self.open] = self.texts.get(self.open, "") + data

    def handle_endtag(self, tag):
        self.open = None


def read(plan):
    page = render_page(plan)
    reader = PageReader()
    reader.feed(page)
    return page, reader, json.loads(reader.texts["plan-data"])


@pytest.fixture(scope="module")
def hostile():
    return read(draw_plan(prompt=HOSTILE))


def test_page_loads_nothing_from_anywhere(hostile):
    page, reader, _ = hostile
    assert all(link.startswith("data:") for link in reader.links)
    assert not re.search(r"https?://|@import|url\(", page)


def test_hostile_prompt_stays_text(hostile):
    page, reader, data = hostile
    assert reader.tags.count("script") == 3
    assert reader.tags.count("img") == 2
    assert reader.texts["prompt"] == HOSTILE
    assert data["request"]["prompt"] == HOSTILE
    assert page.count("</script>") == 3


def test_no_mark_is_left_but_those_of_the_prompt(hostile):
    page, _, _ = hostile
    assert re.findall(r"@@[A-Z_]+@@", page) == ["@@DATA@@"] * 2


def test_page_carries_what_the_scripts_read(hostile):
    _, _, data = hostile
    assert data["window"] == [0, 0, 64, 96]
    assert data["camera"]["fx"] == 90
    assert set(data["colors"]) == {"target", "left_hand", "right_hand", "gripper"}
    assert data["body"] is None
    assert len(data["motion"]["target"]["positions_camera_m"]) == 17
    assert not data["cloud"]["is_flat"]
    assert data["cloud"]["size_m"] == pytest.approx(1.1 / 90)


def test_plan_without_depth_or_attention_is_flat_and_has_no_second_picture():
    plan = draw_plan(depth_m=None, intrinsics=None)
    plan = dataclasses.replace(plan, rollout=dataclasses.replace(plan.rollout, attention_map=None))
    page, reader, data = read(plan)
    assert data["cloud"]["is_flat"]
    assert "laid flat at the assumed distance" in page
    assert data["camera"]["is_assumed"]
    assert reader.tags.count("img") == 1


def test_depth_map_of_nothing_is_flat_too():
    _, _, data = read(draw_plan(depth_m=np.zeros((64, 96), np.float32)))
    assert data["cloud"]["is_flat"]


def test_target_far_beyond_the_view_gives_no_cloud():
    _, _, data = read(draw_plan(depth_m=np.full((64, 96), 9.0, np.float32)))
    assert data["cloud"] is None


def test_large_images_are_shown_smaller():
    plan = draw_plan()
    large = dataclasses.replace(
        plan.request,
        image=np.zeros((1600, 2400, 3), np.uint8),
        target_mask=np.eye(1600, 2400, dtype=bool),
        depth_m=None,
        intrinsics=None,
    )
    assert len(render_page(dataclasses.replace(plan, request=large))) < 1_000_000


def with_contact(**changes):
    plan = draw_plan()
    contact = dataclasses.replace(plan.motion.contact, **changes)
    return dataclasses.replace(plan, motion=dataclasses.replace(plan.motion, contact=contact))


def test_verdict_of_a_touch():
    plan = with_contact(start_frame=8, hand="right_hand", confidence=0.9)
    assert describe_outcome(plan) == "target touched at 1.0 s by the right hand"
    assert rate_outcome(plan) == "good"
    assert "Target touched at 1.0 s" in render_page(plan)


def test_verdict_of_an_unsure_touch():
    plan = with_contact(confidence=0.3)
    assert describe_outcome(plan).endswith("but that is uncertain")
    assert rate_outcome(plan) == "fair"


def test_verdict_without_touch():
    plan = draw_plan()
    plan = dataclasses.replace(plan, motion=dataclasses.replace(plan.motion, contact=Contact()))
    assert describe_outcome(plan) == "target not touched"
    assert rate_outcome(plan) == "fair"


def test_verdict_of_a_look_alike():
    contact = Contact(hand="right_hand", start_frame=3, end_frame=5, touches_other=True)
    plan = draw_plan()
    plan = dataclasses.replace(plan, motion=dataclasses.replace(plan.motion, contact=contact))
    assert describe_outcome(plan) == "something else is touched, not the target"
    assert rate_outcome(plan) == "poor"
    assert describe_motion(plan) == ""


def test_story_says_how_far_hand_and_target_go():
    plan = draw_plan()
    hand_m = np.tile(np.float32([0, 0, 1]), (17, 1))
    hand_m[8:, 0] = 0.25
    target_m = np.tile(np.float32([0.25, 0, 1]), (17, 1))
    target_m[12:, 1] = -1.5
    contact = Contact(
        hand="right_hand", start_frame=8, end_frame=12, touches_target=True, confidence=0.9
    )
    motion = dataclasses.replace(
        plan.motion,
        hands=(dataclasses.replace(plan.motion.hands[0], positions_camera_m=hand_m),),
        target=dataclasses.replace(plan.motion.target, positions_camera_m=target_m),
        contact=contact,
        apertures_m={"right_hand": np.full(17, 0.07, np.float32)},
    )
    told = describe_motion(dataclasses.replace(plan, motion=motion))
    assert told == (
        "the right hand goes 25 cm to the target 1.03 m from the camera, with the fingers 7 cm "
        "apart, and moves it 1.50 m"
    )
    unsure = dataclasses.replace(motion, contact=dataclasses.replace(contact, confidence=0.2))
    told = describe_motion(dataclasses.replace(plan, motion=unsure))
    assert told.startswith("the right hand would go 25 cm")
    assert told.endswith("and move it 1.50 m")


@pytest.mark.parametrize("source", ["height_prior", "none"])
def test_without_depth_lengths_are_told_as_assumed_and_the_touch_as_seen(source):
    plan = draw_plan()
    contact = dataclasses.replace(plan.motion.contact, confidence=0.9)
    told = []
    for scale_source in ("sensor", source):
        motion = dataclasses.replace(plan.motion, contact=contact, scale_source=scale_source)
        plan = dataclasses.replace(plan, motion=motion)
        told.append(describe_motion(plan))
    assert told[1] == f"{told[0]}; lengths rest on an assumed distance"
    assert "uncertain" not in describe_outcome(plan)
    assert rate_outcome(plan) == "good"


def test_body_is_shown_in_thin_triangles():
    plan = fill_plan(draw_plan())
    _, _, data = read(plan)
    body = data["body"]
    points = np.frombuffer(base64.b64decode(body["points_mm"]), "<i2")
    frames_m = points.reshape(17, body["num_vertices"], 3) / 1000
    triangles = np.frombuffer(base64.b64decode(body["triangles"]), "<u2").reshape(-1, 3)
    assert 1000 < len(triangles) < 5000
    assert triangles.max() == body["num_vertices"] - 1
    whole_m, _ = mesh_body(plan.motion.body_fit, load_body_model(), 3)
    np.testing.assert_allclose(frames_m[3].mean(axis=0), whole_m.mean(axis=0), atol=0.15)
    assert "body: STANDIN" in render_page(plan)


@pytest.mark.parametrize("damage", ["lost", "licensed"])
def test_body_that_cannot_be_drawn_is_left_out(damage):
    plan = fill_plan(draw_plan())
    fit = plan.motion.body_fit
    if damage == "lost":
        fit = dataclasses.replace(fit, pelvis_camera_m=np.full((17, 3), np.nan, np.float32))
    else:
        fit = dataclasses.replace(fit, model="SMPLX")
    plan = dataclasses.replace(plan, motion=dataclasses.replace(plan.motion, body_fit=fit))
    assert read(plan)[2]["body"] is None


def test_verdict_without_actor():
    plan = draw_plan(hand_confidence=0.0)
    assert describe_outcome(plan) == "no actor found: do not trust the motion"
    assert rate_outcome(plan) == "poor"
    assert 'class="verdict poor"' in render_page(plan)


def test_summary_names_channels_and_reasons():
    text = summarize_plan(draw_plan(hand_confidence=0.0))
    assert text.splitlines()[0] == "no actor found: do not trust the motion"
    assert re.search(r"actor +0\.00  no actor is seen", text)
    assert "17 frames of 96 x 64 at 8 fps, seed 7" in text
