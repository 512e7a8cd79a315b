"""The plan page as text: self-contained, escaped, and honest in its first line."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tavid_core.page import render_page
from tavid_core.summary import describe_outcome, rate_outcome, summarize_plan
from tavid_core.types import Contact
from tests.drawn import draw_plan

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
    assert set(data["colors"]) == {"target", "left_hand", "right_hand"}
    assert len(data["motion"]["target"]["positions_camera_m"]) == 17
    assert not data["cloud"]["is_flat"]
    assert data["cloud"]["size_m"] == pytest.approx(1.1 * 2 / 90)


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
