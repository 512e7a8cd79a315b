"""An SQLite bag: what is whole comes out; flips in messages cannot be seen, cuts are."""

import sqlite3

import pytest
from rosbags.rosbag2 import StoragePlugin

from benchmarks.bag_maker import BagScene
from tavid_core.errors import InputError
from tests.training.sources.bags.bag_helpers import write_with_rosbags
from training.sources.bags.limits import BagLimits
from training.sources.bags.report import BagReport
from training.sources.bags.sqlite_file import SqliteFile

SCENE = BagScene(num_images=30)
NUM_MESSAGES = 1 + 5 * SCENE.num_images


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "bag"
    write_with_rosbags(folder, SCENE, StoragePlugin.SQLITE3, prompt="A person moves it.")
    return (folder / "bag.db3").read_bytes()


def read(tmp_path, data, limits=None):
    path, report = tmp_path / "bag.db3", BagReport()
    path.write_bytes(data)
    messages = list(SqliteFile(path, "bag.db3", limits or BagLimits(), report).messages())
    return messages, report


def change(tmp_path, data, *statements):
    path = tmp_path / "changed.db3"
    path.write_bytes(data)
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path.read_bytes()


def test_a_whole_file(tmp_path, whole):
    messages, report = read(tmp_path, whole)
    assert len(messages) == NUM_MESSAGES
    assert not report.is_lossy


def test_metadata_inside_of_the_file(tmp_path, whole):
    path = tmp_path / "bag.db3"
    path.write_bytes(whole)
    found = SqliteFile(path, "bag.db3", BagLimits(), BagReport()).read_metadata()
    assert "A person moves it." in found["rosbag2"]["serialized_metadata"]
    path.write_bytes(change(tmp_path, whole, "DROP TABLE metadata"))
    assert SqliteFile(path, "bag.db3", BagLimits(), BagReport()).read_metadata() == {}


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_files_give_the_messages_before_the_cut(tmp_path, whole, share):
    expected, _ = read(tmp_path, whole)
    messages, report = read(tmp_path, whole[: int(len(whole) * share)])
    assert messages == expected[: len(messages)]
    assert len(messages) > (share - 0.1) * NUM_MESSAGES
    assert [note.reason for note in report.notes] == ["a file that is damaged or was cut off"]
    assert report.is_lossy


def test_flipped_bits_of_a_message_cannot_be_seen(tmp_path, whole):
    """The format has no checksums; docs/data.md says so."""
    expected, _ = read(tmp_path, whole)
    data = bytearray(whole)
    place = whole.index(expected[10].data[200:260]) + 20
    data[place] ^= 1
    messages, report = read(tmp_path, bytes(data))
    assert len(messages) == NUM_MESSAGES
    assert messages != expected
    assert not report.is_lossy


def test_rows_that_are_none_of_a_recorder_are_told(tmp_path, whole):
    data = change(
        tmp_path,
        whole,
        "UPDATE messages SET topic_id = 99 WHERE id = 3",
        "UPDATE messages SET data = 'text' WHERE id = 4",
        "UPDATE messages SET timestamp = 'late' WHERE id = 5",
        "UPDATE topics SET serialization_format = 'json' WHERE name = '/prompt'",
    )
    messages, report = read(tmp_path, data)
    assert len(messages) == NUM_MESSAGES - 4
    dropped = {reason for count in report.topics.values() for reason in count.dropped}
    assert dropped == {
        "of a topic that the file does not describe",
        "stored as another type",
        "encoded as 'json', not as cdr",
    }


def test_numbers_of_messages_that_are_none_do_no_harm(tmp_path, whole):
    data = change(
        tmp_path,
        whole,
        "ALTER TABLE messages RENAME TO old",
        "CREATE TABLE messages (id TEXT, topic_id INTEGER, timestamp INTEGER, data BLOB)",
        "INSERT INTO messages SELECT 'x' || id, topic_id, timestamp, data FROM old",
    )
    messages, report = read(tmp_path, data)
    assert (len(messages), report.is_lossy) == (NUM_MESSAGES, False)


def test_messages_larger_than_allowed_are_told(tmp_path, whole):
    messages, report = read(tmp_path, whole, BagLimits(max_record_bytes=1000))
    assert 0 < len(messages) < NUM_MESSAGES
    assert report.topics["/camera/target_mask"].dropped == {"larger than allowed": 30}


@pytest.mark.parametrize("data", [b"", b"\x89MCAP0\r\n", b"SQLite format 3\0", b"x" * 5000])
def test_files_that_are_no_bag_are_refused(tmp_path, data):
    with pytest.raises(InputError, match=r"bag\.db3 must (be an SQLite file|hold the tables)"):
        read(tmp_path, data)


def test_other_databases_are_refused(tmp_path):
    path = tmp_path / "other.db3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE topics (id INTEGER)")
    connection.close()
    with pytest.raises(InputError, match="must hold the tables of a bag"):
        read(tmp_path, path.read_bytes())
