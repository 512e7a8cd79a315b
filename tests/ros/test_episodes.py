"""Episodes that camera_node plays: what is read beside a video, and what a recorder gets of it."""

from __future__ import annotations

import itertools
import json
import os

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter

from tavid_core.errors import InputError
from tavid_ros.camera_node import CameraNode
from tavid_ros.episodes import list_episodes
from tavid_ros.recorder_node import RecorderNode
from tavid_ros.spinning import BackgroundExecutor
from tests.ros.graph import wait_for
from tests.training.sources.bags.bag_helpers import read_recordings
from training.clips import write_frames
from training.sources.bags.topic_map import CameraTopics, ContactTopic, TopicMap

NUMBERS = itertools.count()
NUM_FRAMES, CONTACT = 12, 5
SIZE_HW = (32, 48)
CAMERA = {"fx": 40.0, "fy": 40.0, "cx": 23.5, "cy": 15.5, "width": 48, "height": 32}


def write_episode(folder, name, shade):
    """Write a grey video whose target wanders along with the number of the frame."""
    masks = np.zeros((NUM_FRAMES, *SIZE_HW, 3), np.uint8)
    for index in range(NUM_FRAMES):
        masks[index, 8:16, 8 + index : 16 + index] = 255
    write_frames(folder / f"{name}.mp4", np.full_like(masks, shade), 8.0)
    write_frames(folder / f"{name}_mask.mp4", masks, 8.0)
    write_frames(folder / f"{name}_actor.mp4", 255 - masks, 8.0)
    (folder / f"{name}.camera.json").write_text(json.dumps(CAMERA))
    return masks[..., 0] > 0


def write_captions(folder, *rows):
    lines = ["file_name,text,contact_sec", *rows]
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")


def test_everything_beside_a_video_is_read(tmp_path):
    masks = write_episode(tmp_path, "a", 90)
    write_captions(tmp_path, f"a.mp4,Somebody lifts it.,{CONTACT / 8}")
    (episode,) = list_episodes(tmp_path)
    assert (episode.text, episode.contact_sec) == ("Somebody lifts it.", CONTACT / 8)
    assert episode.read_camera().fx == 40.0
    frames = list(episode.frames())
    np.testing.assert_array_equal([frame.target_mask for frame in frames], masks)
    np.testing.assert_array_equal([frame.actor_mask for frame in frames], ~masks)
    assert [frame.is_contact for frame in frames] == [n >= CONTACT for n in range(NUM_FRAMES)]
    assert [frame.is_last for frame in frames] == [False] * (NUM_FRAMES - 1) + [True]
    assert abs(int(frames[3].image[0, 0, 0]) - 90) <= 3


def test_a_video_alone_will_do_and_a_mask_of_the_first_frame(tmp_path):
    write_frames(tmp_path / "a.mp4", np.zeros((3, *SIZE_HW, 3), np.uint8), 8.0)
    cv2.imwrite(str(tmp_path / "a_mask.png"), np.eye(*SIZE_HW, dtype=np.uint8) * 255)
    (episode,) = list_episodes(tmp_path)
    frames = list(episode.frames())
    assert frames[0].target_mask.sum() == min(SIZE_HW)
    assert frames[1].target_mask is frames[0].actor_mask is frames[0].is_contact is None
    assert episode.read_camera() is None
    assert episode.text == ""


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda lab: (lab / "a.mp4").unlink(), "must be a folder of videos .*, got none in"),
        (lambda lab: (lab / "a.mp4").write_bytes(b"no video"), "must hold video files, got"),
        (lambda lab: (lab / "captions.csv").write_bytes(b"\xff\xfe\xfa"), "must be a CSV file"),
        (lambda lab: write_captions(lab, "a.mp4,x,soon"), "contact_sec must be seconds .*'soon'"),
        (
            lambda lab: write_frames(lab / "a_mask.mp4", np.zeros((3, 8, 8, 3), np.uint8), 8.0),
            "masks must have the video's 48x32 pixels, got 8x8",
        ),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, spoil, match):
    write_episode(tmp_path, "a", 90)
    spoil(tmp_path)
    with pytest.raises(InputError, match=match):
        [list(episode.frames()) for episode in list_episodes(tmp_path)]


def test_a_bag_of_episodes_is_the_episodes(tmp_path):
    """From the videos through camera, DDS, recorder and bag to the reader, frame by frame."""
    lab, context = tmp_path / "lab", rclpy.Context()
    lab.mkdir()
    shades = {"a": 60, "b": 200}
    for name, shade in shades.items():
        write_episode(lab, name, shade)
    write_captions(lab, f"a.mp4,First.,{CONTACT / 8}", f"b.mp4,Second.,{CONTACT / 8}")
    namespace = f"/lab_{os.getpid()}_{next(NUMBERS)}"
    arguments = ["--ros-args", "-r", f"__ns:={namespace}", "--disable-rosout-logs"]
    rclpy.init(args=arguments, context=context)
    values = {"source": "episodes", "path": str(lab), "rate_hz": 16.0, "loop": False}
    values["wait_for_listeners"] = True
    nodes = [
        make(context=context, parameter_overrides=[Parameter(k, value=v) for k, v in each.items()])
        for make, each in (
            (CameraNode, values),
            (RecorderNode, {"bag": str(tmp_path / "bag"), "min_free_mb": 0}),
        )
    ]
    executors = [BackgroundExecutor(node, num_threads=2) for node in nodes]
    camera, recorder = nodes
    wait_for(camera.is_finished.is_set)
    wait_for(lambda: recorder.bag.num_messages[f"{namespace}/episode"] == 4)
    assert recorder.close()
    for executor, node in zip(executors, nodes, strict=True):
        executor.stop()
        node.destroy_node()
    rclpy.shutdown(context=context)
    assert recorder.num_lost == {}
    counts = {name.rsplit("/", 1)[-1]: n for name, n in recorder.bag.num_messages.items()}
    each = ("image", "camera_info", "target_mask", "actor_mask", "prompt", "contact")
    assert counts == dict.fromkeys(each, 2 * NUM_FRAMES) | {"episode": 4}

    names = {role: f"{namespace}/{role}" for role in each[:4]}
    topic_map = TopicMap(
        cameras={"camera": CameraTopics(**names)},
        prompt=f"{namespace}/prompt",
        marker=f"{namespace}/episode",
        contact=ContactTopic(topic=f"{namespace}/contact"),
        episodes="marker",
        # On a busy machine the camera above may pause.
        max_age_sec=30.0,
    )
    recordings, report = read_recordings(
        tmp_path / "bag", tmp_path / "spool", topic_map, size_hw=SIZE_HW
    )
    assert not [note for note in report.notes if note.is_loss]
    assert [recording.index.caption for recording in recordings] == ["First.", "Second."]
    for recording, shade in zip(recordings, shades.values(), strict=True):
        assert len(recording.frames) >= 5
        assert np.abs(recording.frames.astype(int) - shade).max() <= 3
        assert recording.index.intrinsics.fx == 40.0
        assert set(recording.target_masks) == set(range(len(recording.frames)))
        masks = [recording.target_masks[frame] for frame in sorted(recording.target_masks)]
        columns = [int(np.flatnonzero(mask.any(0))[0]) - 8 for mask in masks]
        assert columns == sorted(columns)
        assert columns[-1] >= NUM_FRAMES - 2
        assert recording.index.contact == [column >= CONTACT for column in columns]
