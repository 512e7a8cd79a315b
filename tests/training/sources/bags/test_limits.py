"""What is large and sound comes through the limits; what is only large does not."""

import dataclasses

import numpy as np
import pytest
from mcap.writer import CompressionType

from benchmarks.bag_maker import STORE, BagScene, Entry, make_messages, write_mcap
from tests.training.sources.bags.bag_helpers import CAMERA, RAW_CAMERA, TOPICS, read_recordings
from training.sources.bags.bag import Bag
from training.sources.bags.inspection import inspect_bag
from training.sources.bags.limits import BagLimits

SCENE = BagScene(num_images=30)
RAW_TOPICS = dataclasses.replace(
    TOPICS, cameras={"front": dataclasses.replace(RAW_CAMERA, depth=None)}
)
STRING = STORE.types["std_msgs/msg/String"]


def losses(report):
    return [(note.reason, note.count) for note in report.source_notes() if note.is_loss]


def test_images_of_4k_come_through(tmp_path):
    """Uncompressed, too large to wait in memory for the moment of their frame."""
    scene = BagScene(num_images=4, size_hw=(2160, 3840), is_compressed=False)
    path = tmp_path / "bag.mcap"
    write_mcap(path, make_messages(scene), compression=CompressionType.NONE)
    (recording,), report = read_recordings(
        path, tmp_path / "spool", RAW_TOPICS, size_hw=scene.size_hw
    )
    assert losses(report) == []
    # 20 Hz to 8 Hz.
    for frame, image in enumerate((0, 2)):
        np.testing.assert_array_equal(recording.frames[frame], scene.draw(image))
    # Images that are no frame were not kept.
    spooled = (tmp_path / "spool/bag-front-e000-000.images").stat().st_size
    assert spooled == 2 * 2160 * 3840 * 3


def test_large_and_small_images_take_turns(tmp_path):
    """A JPEG that has to wait on disk is followed by one that waits in memory, and so on."""

    def pad(entry, number):
        if entry.topic != CAMERA.image or number % 2:
            return entry
        data = np.concatenate([entry.message.data, np.zeros(5 * 2**20, np.uint8)])
        return dataclasses.replace(entry, message=dataclasses.replace(entry.message, data=data))

    images = [e for e in make_messages(SCENE) if e.topic in (CAMERA.image, "/prompt")]
    for name, entries in (
        ("plain", images),
        ("padded", [pad(entry, number) for number, entry in enumerate(images)]),
    ):
        write_mcap(tmp_path / f"{name}.mcap", iter(entries))
    (plain,), _ = read_recordings(tmp_path / "plain.mcap", tmp_path / "a")
    (padded,), report = read_recordings(tmp_path / "padded.mcap", tmp_path / "b")
    assert losses(report) == []
    np.testing.assert_array_equal(padded.frames, plain.frames)
    assert {length > 2**20 for _, length in padded.index.frames} == {True, False}


def test_a_prompt_longer_than_any_sentence_is_left_out_and_told(tmp_path):
    path = tmp_path / "bag.mcap"
    long = Entry("/prompt", next(make_messages(SCENE)).received_ns, STRING(data="a" * 2**20))
    write_mcap(path, iter([long, *make_messages(SCENE)]))
    (recording,), report = read_recordings(path, tmp_path / "spool")
    assert losses(report) == [("messages of /prompt lost: cannot be used", 1)]
    assert recording.index.caption == SCENE.prompt
    (prompt,) = [topic for topic in inspect_bag(Bag(path)).topics if topic.name == "/prompt"]
    assert prompt.what.startswith("cannot be read: message must have at most 1048576 bytes")


@pytest.mark.parametrize(("max_waiting_bytes", "num_masks"), [(2**20, 1), (20, 0)])
def test_masks_that_wait_for_a_first_image_have_a_limit(tmp_path, max_waiting_bytes, num_masks):
    entries = list(make_messages(SCENE))
    kept = [e for e in entries if e.topic != CAMERA.target_mask or e is entries[2]]
    write_mcap(tmp_path / "bag.mcap", iter(kept))
    limits = BagLimits(max_waiting_bytes=max_waiting_bytes)
    (recording,), _ = read_recordings(tmp_path / "bag.mcap", tmp_path / "spool", limits=limits)
    assert len(recording.target_masks) == num_masks
