"""A topic map is read as it was written, or refused with what to correct."""

import dataclasses

import pytest

from tavid_core.errors import InputError
from training.sources.bags.topic_map import (
    CameraTopics,
    ContactTopic,
    TopicMap,
    parse_topic_map,
    read_topic_map,
)

FULL = TopicMap(
    cameras={
        "left": CameraTopics(image="/l/image", camera_info="/l/info", depth="/l/depth"),
        "right": CameraTopics(image="/r/image", target_mask="/r/mask", actor_mask="/r/actor"),
    },
    prompt="/prompt",
    prompt_text="Eine Person hebt die Tasse: „hoch“.",
    marker="/episode",
    contact=ContactTopic(topic="/joint_states", joint="finger", closed_below=0.02),
    time="receive",
    resample="hold",
    max_age_sec=0.5,
    pair_max_offset_sec=0.01,
    episodes="marker",
    gap_sec=3.0,
    rectify="never",
)
SHORT = "cameras: {front: {image: /image}}\n"


@pytest.mark.parametrize(
    "topic_map",
    [
        FULL,
        TopicMap(cameras={"a": CameraTopics(image="/image")}),
        dataclasses.replace(FULL, contact=ContactTopic(topic="/touch"), episodes="prompt"),
    ],
)
def test_a_map_comes_back_as_it_was_written(topic_map, tmp_path):
    path = tmp_path / "topics.yaml"
    path.write_text(topic_map.to_yaml(), encoding="utf-8")
    assert read_topic_map(path) == topic_map


def test_what_is_left_out_has_its_default():
    topic_map = parse_topic_map(SHORT)
    assert topic_map.topics == {"/image"}
    defaults = (topic_map.time, topic_map.resample, topic_map.episodes, topic_map.rectify)
    assert defaults == ("header", "nearest", "bag", "auto")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must hold names and values"),
        ("- a", "must hold names and values"),
        ("cameras: {", "must be YAML"),
        ("!!python/object/apply:os.system [ls]", "must be YAML"),
        (BOMB, r"must have no aliases \(\*name\)"),
        ("cameras: {}", "1 to 16 cameras, got 0"),
        ("cameras: [/image]", "must hold topics by name"),
        ("cameras: {front: /image}", r"cameras\.front must hold names and values"),
        ("cameras: {front: {target_mask: /m}}", r"cameras\.front\.image must be a topic, got none"),
        ("cameras: {front: {imgae: /m}}", "must have only the keys image, .*got 'imgae'"),
        ("cameras: {a/b: {image: /m}}", "name of a camera"),
        ("cameras: {front: {image: 3}}", "must be the name of a topic"),
        ("cameras: {front: {image: ''}}", "must be the name of a topic"),
        (SHORT + "topics: 3", "must have only the keys"),
        (SHORT + "time: now", "time must be one of header, receive"),
        (SHORT + "resample: [hold]", "resample must be one of nearest, hold"),
        (SHORT + "max_age_sec: -1", r"max_age_sec must be in 0\.\.3600 s"),
        (SHORT + "max_age_sec: .nan", "max_age_sec must be a number"),
        (SHORT + "gap_sec: yes", "gap_sec must be a number"),
        (SHORT + "pair_max_offset_sec: 1e400", "pair_max_offset_sec must be a number"),
        (SHORT + "episodes: marker", "marker must be a topic for episodes: marker"),
        (SHORT + "episodes: prompt", "prompt must be a topic for episodes: prompt"),
        (SHORT + "contact: /touch", "contact must hold names and values"),
        (SHORT + "contact: {topic: /t, joint: finger}", "both joint and closed_below"),
        (SHORT + "prompt_text: [a]", "prompt_text must be text"),
        (SHORT + f"prompt_text: {'a' * 2000}", "at most 1024 letters"),
    ],
)
def test_a_map_that_says_something_else_is_refused(text, told):
    with pytest.raises(InputError, match=told):
        parse_topic_map(text)


def test_files_that_are_no_map(tmp_path):
    with pytest.raises(InputError, match="must be a readable file"):
        read_topic_map(tmp_path / "none.yaml")
    (tmp_path / "bag.mcap").write_bytes(b"\x89MCAP0\r\n")
    with pytest.raises(InputError, match="must be a readable file"):
        read_topic_map(tmp_path / "bag.mcap")
    (tmp_path / "large.yaml").write_text("#" * 70_000)
    with pytest.raises(InputError, match="at most 65536 bytes"):
        read_topic_map(tmp_path / "large.yaml")
