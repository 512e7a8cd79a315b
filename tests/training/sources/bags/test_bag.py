"""A bag as a whole: split, without its metadata, with files missing, or with a lying one."""

import dataclasses
import shutil

import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from benchmarks.bag_maker import BagScene, make_messages, write_mcap
from tavid_core.errors import InputError
from tests.training.sources.bags.bag_helpers import TOPICS, read_recordings, write_with_rosbags
from training.sources.bags.bag import Bag, parse_metadata
from training.sources.bags.bag_recorder import BagRecorder
from training.sources.bags.limits import BagLimits
from training.sources.bags.settings import BagSettings

SCENE = BagScene(num_images=30)
NUM_MESSAGES = 1 + 5 * SCENE.num_images
METADATA = """rosbag2_bagfile_information:
  relative_file_paths: [bag_0.mcap, bag_1.mcap]
  topics_with_message_count:
    - {topic_metadata: {name: /camera/image/compressed}, message_count: 30}
  custom_data: {prompt: A person moves the box., number: 3}
"""


def write_split(folder):
    """A recorder that began a new file in the middle."""
    folder.mkdir()
    entries = list(make_messages(SCENE))
    half = len(entries) // 2
    write_mcap(folder / "bag_0.mcap", iter(entries[:half]))
    write_mcap(folder / "bag_1.mcap", iter(entries[half:]))
    (folder / "metadata.yaml").write_text(METADATA)
    return folder


def read(path):
    bag = Bag(path)
    return list(bag.messages()), bag.report


def test_the_files_of_a_split_bag_are_one_recording(tmp_path):
    recordings, report = read_recordings(write_split(tmp_path / "bag"), tmp_path / "spool")
    assert [len(recording.frames) for recording in recordings] == [13]
    assert not report.is_lossy


def test_a_missing_file_is_told_with_the_messages_it_had(tmp_path):
    folder = write_split(tmp_path / "bag")
    (folder / "bag_1.mcap").unlink()
    messages, report = read(folder)
    num_images = sum(message.topic == "/camera/image/compressed" for message in messages)
    (note,) = report.notes
    assert (note.reason, note.detail) == ("a file of the bag that is missing", "bag_1.mcap")
    reason = "stored according to the bag, but not found"
    assert report.topics["/camera/image/compressed"].dropped == {reason: 30 - num_images}
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "metadata.yaml").write_text(METADATA)
    with pytest.raises(InputError, match="bag must have its files, got none of them"):
        Bag(folder)


def test_a_file_that_cannot_be_read_does_not_take_the_others_along(tmp_path):
    folder = write_split(tmp_path / "bag")
    (folder / "bag_0.mcap").write_bytes(b"")
    messages, report = read(folder)
    assert 0 < len(messages) < NUM_MESSAGES
    assert [note.reason for note in report.notes] == ["a file that cannot be read"]
    (folder / "bag_1.mcap").write_bytes(b"")
    with pytest.raises(InputError, match=r"bag_0\.mcap must be an MCAP file"):
        read(folder)


@pytest.mark.parametrize(
    "text", ["a: [", "- no map", "x: 1", "\0", "rosbag2_bagfile_information: 3"]
)
def test_a_metadata_that_is_none_is_told_and_the_files_are_read(tmp_path, text):
    folder = write_split(tmp_path / "bag")
    (folder / "metadata.yaml").write_text(text)
    messages, report = read(folder)
    assert len(messages) == NUM_MESSAGES
    assert [note.reason for note in report.notes] == ["a metadata.yaml that cannot be read"]
    assert not report.is_lossy


def test_paths_in_the_metadata_do_not_lead_out_of_the_bag(tmp_path):
    found = parse_metadata(METADATA.replace("bag_0.mcap", "/etc/passwd").replace("bag_1", "../b"))
    assert found.file_names == ("passwd", "b.mcap")
    assert found.custom == {"prompt": "A person moves the box.", "number": "3"}


def test_aliases_of_aliases_in_the_custom_data_do_no_harm():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(12)
    )
    text = f"{bomb}relative_file_paths: []\ncompression_mode: *a12\ncustom_data: {{prompt: *a12}}\n"
    assert parse_metadata(text).custom == {}


def test_halves_of_surrogate_pairs_do_not_reach_the_report(tmp_path):
    folder = write_split(tmp_path / "bag")
    (folder / "metadata.yaml").write_text(
        METADATA.replace("bag_1.mcap", '"b\\ud800.mcap"').replace(
            "/camera/image/compressed", '"/\\udfff"'
        )
    )
    _, report = read(folder)
    told = [f"{note.reason} {note.detail}" for note in report.source_notes()]
    assert any("b?.mcap" in text for text in told)
    "".join(told).encode("utf-8")


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_a_file_that_was_taken_out_of_its_folder_tells_how_it_is_compressed(tmp_path, plugin):
    folder = write_with_rosbags(
        tmp_path / "bag", SCENE, plugin, CompressionMode.MESSAGE, prompt="A person moves it."
    )
    suffix = "db3" if plugin is StoragePlugin.SQLITE3 else "mcap"
    path = tmp_path / f"alone.{suffix}"
    shutil.copy(folder / f"bag.{suffix}", path)
    topic_map = dataclasses.replace(TOPICS, prompt=None)
    (recording,), report = read_recordings(path, tmp_path / "spool", topic_map)
    assert len(recording.frames) == 13
    assert recording.index.caption == "A person moves it."
    assert not report.is_lossy


def test_a_cut_file_with_file_compression_gives_its_start(tmp_path):
    folder = write_with_rosbags(tmp_path / "bag", SCENE, StoragePlugin.MCAP, CompressionMode.FILE)
    (path,) = folder.glob("*.zstd")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    messages, report = read(folder)
    assert 0 < len(messages) < NUM_MESSAGES
    assert "a file that was cut off" in [note.reason for note in report.notes]
    assert report.num_dropped == NUM_MESSAGES - len(messages)


@pytest.mark.parametrize(("kind", "last"), [("mcap", 0.5), ("split", 0.5), ("db3", 1.0)])
def test_a_bag_tells_how_far_it_is_read(tmp_path, kind, last):
    path = tmp_path / "bag"
    if kind == "mcap":
        path = tmp_path / "bag.mcap"
        write_mcap(path, make_messages(SCENE), chunk_bytes=20_000)
    elif kind == "split":
        write_split(path)
    else:
        write_with_rosbags(path, SCENE, StoragePlugin.SQLITE3)
    shares = []
    bag = Bag(path, BagLimits(max_silence_sec=1e-9), shares.append)
    num_messages = sum(1 for _ in bag.messages())
    assert len(shares) == num_messages == NUM_MESSAGES
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.2
    assert last <= shares[-1] <= 1.0


def test_work_on_many_masks_is_a_sign_of_life_too(tmp_path):
    path = tmp_path / "bag.mcap"
    write_mcap(path, make_messages(SCENE))
    told = []
    bag = Bag(path, BagLimits(max_silence_sec=1e-9), told.append)
    settings = BagSettings(topic_map=TOPICS, size_hw=(64, 96))
    (_,) = BagRecorder("bag", bag, settings, tmp_path).recordings()
    # One for each message, and one for each of two masks of 13 frames.
    assert len(told) == NUM_MESSAGES + 2 * 13


def test_no_bag_at_all(tmp_path):
    with pytest.raises(InputError, match=r"got .*nothing\.bag"):
        Bag(tmp_path / "nothing.bag")
    with pytest.raises(InputError, match="bag must be a folder with"):
        Bag(tmp_path)
