"""A damaged MCAP file gives what is whole in it, and says what is not."""

import dataclasses
import io
import struct

import pytest
from mcap.writer import CompressionType, Writer

from benchmarks.bag_damage import write_bomb
from benchmarks.bag_maker import BagScene, fill_mcap, make_messages, write_mcap
from tavid_core.errors import InputError
from training.sources.bags.limits import BagLimits
from training.sources.bags.mcap_file import McapFile
from training.sources.bags.report import BagReport

SCENE = BagScene(num_images=30)
NUM_MESSAGES = 1 + 5 * SCENE.num_images


def write(tmp_path, compression=CompressionType.ZSTD, chunk_bytes=64 * 1024):
    path = tmp_path / "bag.mcap"
    write_mcap(path, make_messages(SCENE), compression=compression, chunk_bytes=chunk_bytes)
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole"))


def read(data, limits=None, **options):
    report = BagReport()
    file = McapFile(io.BytesIO(data), "bag.mcap", limits or BagLimits(), report, **options)
    messages = list(file.messages())
    for message in messages:
        report.keep(message.topic)
    return messages, report


def reasons(report):
    return [note.reason for note in report.notes]


def chunks(data):
    """Start and end of each chunk record."""
    position, found = 8, []
    while position + 9 <= len(data) - 8:
        opcode, length = struct.unpack_from("<BQ", data, position)
        if opcode == 6:
            found.append((position, position + 9 + length))
        position += 9 + length
    return found


def test_a_whole_file(whole):
    messages, report = read(whole)
    assert len(messages) == NUM_MESSAGES
    assert (report.notes, report.num_dropped, report.is_lossy) == ([], 0, False)


def test_a_wrong_checksum_drops_the_chunk_and_counts_its_messages(whole):
    start, end = chunks(whole)[1]
    data = bytearray(whole)
    # The checksum stands behind two times and the size.
    data[start + 9 + 24] ^= 1
    messages, report = read(bytes(data))
    assert 0 < len(messages) < NUM_MESSAGES
    assert reasons(report) == ["a chunk with a wrong checksum"]
    assert report.num_dropped == NUM_MESSAGES - len(messages)
    assert report.topics["/camera/image/compressed"].dropped["in a damaged part"] > 0
    assert end > start


def test_flipped_bits_of_uncompressed_data_are_seen(tmp_path):
    data = bytearray(write(tmp_path, CompressionType.NONE))
    start, end = chunks(data)[0]
    data[(start + end) // 2] ^= 16
    _, report = read(bytes(data))
    assert reasons(report) == ["a chunk with a wrong checksum"]


@pytest.mark.parametrize("compression", list(CompressionType))
def test_cut_files_give_the_messages_before_the_cut(tmp_path, compression):
    data = write(tmp_path, compression)
    spans = chunks(data)
    # Behind the third chunk, and in the middle of the fourth.
    behind, _ = read(data[: spans[2][1]])
    within, report = read(data[: sum(spans[3]) // 2])
    assert 0 < len(behind) <= len(within) < NUM_MESSAGES
    assert behind == within[: len(behind)]
    assert "a file that was cut off" in reasons(report)
    assert "a file without a sound index at its end" in reasons(report)
    if compression is CompressionType.NONE:
        assert len(within) > len(behind)
        assert "messages saved from a chunk that was cut, without a checksum" in reasons(report)


def test_every_cut_is_told_and_none_gives_a_wrong_message(whole):
    expected, _ = read(whole)
    for cut in range(8, len(whole) - 1, len(whole) // 40):
        messages, report = read(whole[:cut])
        assert messages == expected[: len(messages)]
        assert report.is_lossy


@pytest.mark.parametrize("num_bytes", [20, 45, 60, 80, 100])
def test_cuts_within_the_descriptions_of_a_chunk_are_told(tmp_path, num_bytes):
    data = write(tmp_path, CompressionType.NONE)
    start, _ = chunks(data)[0]
    messages, report = read(data[: start + 9 + 40 + num_bytes])
    assert messages == []
    assert "a file that was cut off" in reasons(report)


def test_a_damaged_description_in_a_cut_chunk_is_no_end_of_the_reader(tmp_path):
    data = bytearray(write(tmp_path, CompressionType.NONE))
    place = data.index(b"/prompt\x03") - 4
    # The topic's name seems to reach behind the record.
    data[place : place + 4] = b"\xff\xff\0\0"
    _, report = read(bytes(data[: place + 400]))
    assert "a file that was cut off" in reasons(report)


def test_a_damaged_record_head_loses_no_more_than_its_chunk(whole):
    start, _ = chunks(whole)[1]
    data = bytearray(whole)
    data[start + 5] = 0x7F
    messages, report = read(bytes(data))
    assert "a damaged record" in reasons(report)
    assert report.is_lossy
    # The index tells where the next chunk begins.
    assert len(messages) > NUM_MESSAGES * 2 // 3


def test_without_index_and_statistics_a_damaged_head_ends_the_file(whole):
    start, _ = chunks(whole)[2]
    data = bytearray(whole[: chunks(whole)[-1][1]])
    data[start] = 0xEE
    messages, report = read(bytes(data))
    assert 0 < len(messages) < NUM_MESSAGES
    assert report.is_lossy


@pytest.mark.parametrize("stated", [2**20, 2**31, 2**40])
def test_a_chunk_that_inflates_to_more_than_allowed_is_left_out(tmp_path, stated):
    path = tmp_path / "bomb.mcap"
    write_bomb(path, make_messages(SCENE), 64 * 2**20, stated)
    messages, report = read(path.read_bytes(), BagLimits(max_chunk_bytes=32 * 2**20))
    assert len(messages) == NUM_MESSAGES
    reason = "cannot be inflated" if stated == 2**20 else "is too large"
    assert f"a chunk that {reason}" in reasons(report)
    assert report.is_lossy


def test_records_larger_than_allowed_are_left_out(whole):
    messages, report = read(whole, BagLimits(max_record_bytes=1000))
    assert len(messages) < NUM_MESSAGES
    assert "a record that is too large" in reasons(report)
    assert report.is_lossy


def test_files_without_checksums_say_so(tmp_path):
    stream = io.BytesIO()
    writer = Writer(stream, enable_crcs=False)
    fill_mcap(writer, make_messages(SCENE))
    messages, report = read(stream.getvalue())
    assert len(messages) == NUM_MESSAGES
    assert reasons(report) == ["data without checksums, whose damage cannot be seen"]
    assert not report.is_lossy


def test_messages_that_are_not_wanted_come_out_empty(whole):
    messages, _ = read(whole, is_wanted=lambda topic: topic == "/prompt")
    assert [bool(message.data) for message in messages] == [True] + [False] * (NUM_MESSAGES - 1)


def test_other_encodings_are_told():
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.start("", "test")
    channel = writer.register_channel("/json", "json", 0)
    writer.add_message(channel, 1, b"{}", 1)
    writer.finish()
    messages, report = read(stream.getvalue())
    assert messages == []
    assert report.topics["/json"].dropped == {"encoded as 'json', not as cdr": 1}


@pytest.mark.parametrize("data", [b"", b"\x89MCAP", b"SQLite format 3\0", b"x" * 100])
def test_files_that_are_no_mcap_are_refused(data):
    with pytest.raises(InputError, match=r"bag\.mcap must be an MCAP file"):
        read(data)


def test_an_empty_recording_is_no_loss():
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.start("ros2", "test")
    writer.finish()
    messages, report = read(stream.getvalue())
    assert (messages, report.is_lossy) == ([], False)


def test_no_name_of_a_library_stands_in_a_note(whole):
    data = bytearray(whole[:-40])
    data[chunks(whole)[0][0] + 9 + 40] ^= 0xFF
    _, report = read(bytes(data))
    told = " ".join(f"{note.reason} {note.detail}" for note in report.notes)
    for word in ("Error", "Exception", "Exceeded", "struct", "mcap."):
        assert word not in told.replace("bag.mcap", ""), told


def test_metadata_is_read_and_its_lack_is_none(whole, tmp_path):
    path = tmp_path / "bag.mcap"
    write_mcap(path, make_messages(SCENE), prompt="A person moves the box.")
    file = McapFile(io.BytesIO(path.read_bytes()), "bag.mcap", BagLimits(), BagReport())
    assert file.read_metadata() == {"tavid": {"prompt": "A person moves the box."}}
    torn = McapFile(io.BytesIO(whole[:-30]), "bag.mcap", BagLimits(), BagReport())
    assert torn.read_metadata() == {}


def test_limits_must_be_positive():
    for name in ("max_chunk_bytes", "max_silence_sec"):
        with pytest.raises(InputError, match=f"{name} must be positive, got 0"):
            dataclasses.replace(BagLimits(), **{name: 0})


class CountingStream(io.BytesIO):
    num_read = 0

    def read(self, size=-1):
        data = super().read(size)
        self.num_read += len(data)
        return data


def test_metadata_of_a_file_without_an_index_is_not_looked_for_to_its_end(whole):
    stated = bytearray(whole)
    # Of the footer: where the index begins.
    stated[-28:-20] = bytes(8)
    stream = CountingStream(stated)
    assert McapFile(stream, "bag.mcap", BagLimits(), BagReport()).read_metadata() == {}
    assert stream.num_read < 100
    messages, _ = read(bytes(stated))
    assert len(messages) == NUM_MESSAGES


def test_an_index_larger_than_any_bag_needs_is_not_read(whole, monkeypatch):
    monkeypatch.setattr("training.sources.bags.mcap_file._MAX_INDEX_BYTES", 500)
    messages, report = read(whole)
    assert len(messages) == NUM_MESSAGES
    assert reasons(report) == ["a file without a sound index at its end"]


def write_channels(topics, schemas):
    stream = io.BytesIO()
    writer = Writer(stream, chunk_size=1024)
    writer.start("ros2", "test")
    ids = [writer.register_schema(name, "ros2msg", text) for name, text in schemas]
    for number, topic in enumerate(topics):
        channel = writer.register_channel(topic, "cdr", ids[number % len(ids)])
        writer.add_message(channel, number, b"\0\1\0\0\1", number)
    writer.finish()
    return stream.getvalue()


def test_definitions_are_kept_of_known_types_only_and_no_longer_than_they_are_compared():
    schemas = [("std_msgs/msg/Bool", b"#" * 200_000), ("a/msg/Other", b"bool data")]
    file = McapFile(
        io.BytesIO(write_channels(["/a", "/b"], schemas)), "bag.mcap", BagLimits(), BagReport()
    )
    assert [message.type_name for message in file.messages()] == [name for name, _ in schemas]
    assert list(file.definitions) == ["std_msgs/msg/Bool"]
    assert len(file.definitions["std_msgs/msg/Bool"][1]) == 2**16 + 1


def test_topics_without_end_are_told_as_unknown(monkeypatch):
    monkeypatch.setattr("training.sources.bags.mcap_file._MAX_CHANNELS", 3)
    topics = ["/a", "/" + "b" * 2000, "/c", "/d", "/e", "/f"]
    messages, report = read(write_channels(topics, [("std_msgs/msg/Bool", b"bool data")]))
    assert [message.topic for message in messages] == ["/a", "/c", "/d"]
    lost = report.topics["(unknown)"].dropped
    assert lost == {"of a channel that the file does not describe": 3}
