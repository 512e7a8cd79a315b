"""Bags by several writers, compressed or not, come out as the same recording."""

import numpy as np
import pytest
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from benchmarks.bag_maker import BagScene, fill_mcap, make_messages, write_mcap
from tests.training.sources.bags.bag_helpers import (
    TOPICS,
    read_recordings,
    write_with_mcap_ros2,
    write_with_rosbags,
)

SCENE = BagScene(num_images=30)
NUM_MESSAGES = 1 + 5 * SCENE.num_images


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    path = folder / "plain.mcap"
    write_mcap(path, make_messages(SCENE), compression=CompressionType.NONE)
    return read_recordings(path, folder / "spool")[0]


def check(path, folder, expected):
    recordings, report = read_recordings(path, folder / "spool")
    assert len(recordings) == len(expected) == 1
    assert not report.is_lossy
    assert sum(count.num_kept for count in report.topics.values()) == NUM_MESSAGES
    found, wanted = recordings[0], expected[0]
    np.testing.assert_array_equal(found.frames, wanted.frames)
    assert found.index.caption == SCENE.prompt
    assert found.target_masks.keys() == wanted.target_masks.keys()
    for frame, mask in found.target_masks.items():
        np.testing.assert_array_equal(mask, wanted.target_masks[frame])
    return report


def test_the_scene_comes_out_as_it_went_in(expected):
    recording = expected[0]
    # The last of 30 images at 20 Hz is at 1.45 s, near enough to the moment 12/8 s.
    assert len(recording.frames) == 13
    for frame in (0, 6, 11):
        # Moments halfway between two images take the earlier one.
        image = int(np.ceil(frame * 2.5 - 0.5))
        np.testing.assert_array_equal(recording.target_masks[frame], SCENE.target_mask(image))
        np.testing.assert_array_equal(recording.actor_masks[frame], SCENE.actor_mask(image))
        difference = np.abs(recording.frames[frame].astype(int) - SCENE.draw(image))
        assert difference.mean() < 8


@pytest.mark.parametrize("compression", list(CompressionType))
def test_mcap_ros2_support(tmp_path, expected, compression):
    path = write_with_mcap_ros2(tmp_path / "bag.mcap", SCENE, compression)
    report = check(path, tmp_path, expected)
    assert report.notes == []


@pytest.mark.parametrize("mode", list(CompressionMode))
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_rosbags_writer(tmp_path, expected, plugin, mode):
    if plugin is StoragePlugin.SQLITE3 and mode is CompressionMode.STORAGE:
        pytest.skip("SQLite cannot compress inside")
    path = write_with_rosbags(tmp_path / "bag", SCENE, plugin, mode)
    report = check(path, tmp_path, expected)
    if plugin is StoragePlugin.MCAP:
        # This writer leaves the checksums out, and the report says what that means.
        assert [note.reason for note in report.notes] == [
            "data without checksums, whose damage cannot be seen"
        ]


def test_file_without_chunks_or_index(tmp_path, expected):
    from mcap.writer import IndexType, Writer

    path = tmp_path / "bag.mcap"
    with path.open("wb") as stream:
        writer = Writer(
            stream, use_chunking=False, index_types=IndexType.NONE, use_statistics=False,
            repeat_channels=False, repeat_schemas=False, use_summary_offsets=False,
        )  # fmt: skip
        fill_mcap(writer, make_messages(SCENE))
    check(path, tmp_path, expected)


def test_old_bag_without_definitions_and_without_metadata(tmp_path, expected):
    """As Humble wrote it: SQLite with three tables, and its metadata.yaml got lost."""
    import sqlite3

    folder = write_with_rosbags(tmp_path / "bag", SCENE, StoragePlugin.SQLITE3)
    (folder / "metadata.yaml").unlink()
    with sqlite3.connect(folder / "bag.db3") as connection:
        connection.execute("DROP TABLE message_definitions")
        connection.execute("DROP TABLE metadata")
        connection.execute("DROP TABLE schema")
        connection.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
    report = check(folder, tmp_path, expected)
    assert [note.reason for note in report.notes] == [
        "no metadata.yaml; the files of the folder are read"
    ]


def test_prompt_of_the_metadata(tmp_path):
    folder = write_with_rosbags(
        tmp_path / "bag", SCENE, StoragePlugin.MCAP, prompt="  A person\nlifts the mug. "
    )
    topic_map = type(TOPICS)(cameras=TOPICS.cameras)
    recordings, _ = read_recordings(folder, tmp_path / "spool", topic_map)
    assert recordings[0].index.caption == "A person lifts the mug."
    path = tmp_path / "other.mcap"
    write_mcap(path, make_messages(SCENE), prompt="A person opens the box.")
    recordings, _ = read_recordings(path, tmp_path / "spool2", topic_map)
    assert recordings[0].index.caption == "A person opens the box."
