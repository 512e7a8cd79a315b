"""Whatever bytes a bag or a map is made of, it is read right or refused with a typed error.

The suite tries a hundred examples each; `pytest --hypothesis-profile=release` tries 5,000.
"""

import functools
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import CompressionType

from benchmarks.bag_maker import START_NS, STORE, TYPES, BagScene, Entry, make_messages, write_mcap
from tavid_core.errors import InputError
from tests.training.sources.bags.bag_helpers import (
    RAW_CAMERA,
    TOPICS,
    read_recordings,
    write_with_rosbags,
)
from training.sources.bags.bag import parse_metadata
from training.sources.bags.inflate import inflate, inflate_start
from training.sources.bags.limits import BagLimits
from training.sources.bags.mask_bits import decode_mask, encode_mask
from training.sources.bags.mcap_file import McapFile
from training.sources.bags.report import BagReport
from training.sources.bags.sqlite_file import SqliteFile
from training.sources.bags.topic_map import TopicMap, parse_topic_map
from training.sources.bags.typed_message import KNOWN_TYPES, compare_definition, decode_message

# 5,000 examples of some of these take minutes.
pytestmark = pytest.mark.timeout(3600)

SCENE = BagScene(num_images=4, size_hw=(16, 24))
NUM_MESSAGES = 1 + 5 * SCENE.num_images
LIMITS = BagLimits(max_chunk_bytes=2**20, max_record_bytes=2**20, max_file_bytes=2**20)
SAMPLES = {TYPES[entry.topic]: entry.serialize() for entry in make_messages(SCENE)}
TEXTS = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF), max_size=40)


@functools.cache
def whole_mcap(compression):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bag.mcap"
        entries = make_messages(SCENE)
        write_mcap(path, entries, compression=compression, chunk_bytes=2000, prompt="Lifts.")
        return path.read_bytes()


@functools.cache
def whole_sqlite():
    from rosbags.rosbag2 import StoragePlugin

    with tempfile.TemporaryDirectory() as folder:
        write_with_rosbags(Path(folder) / "bag", SCENE, StoragePlugin.SQLITE3)
        return (Path(folder) / "bag/bag.db3").read_bytes()


@st.composite
def damaged(draw, data):
    """The bytes with some changed, cut out or put in; or cut off."""
    damaged_data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(damaged_data) - 1)))
        kind = draw(st.sampled_from(["flip", "write", "remove", "insert", "cut"]))
        some = draw(st.binary(min_size=1, max_size=12))
        if kind == "flip":
            damaged_data[place : place + 1] = bytes(b ^ some[0] for b in damaged_data[place:][:1])
        elif kind == "write":
            damaged_data[place : place + len(some)] = some
        elif kind == "remove":
            del damaged_data[place : place + some[0]]
        elif kind == "insert":
            damaged_data[place:place] = some
        else:
            del damaged_data[place:]
    return bytes(damaged_data)


def read_or_refuse(read, *arguments):
    """Return what was read, or None for a typed error; let any other exception through."""
    try:
        return read(*arguments)
    except InputError as error:
        message = str(error)
    assert 20 < len(message) < 800
    return None


def drain(file, report):
    """Read a file or be refused; gives the messages that came out."""
    found = read_or_refuse(lambda: list(file.messages()))
    for message in found or ():
        report.keep(message.topic)
    for note in report.source_notes():
        f"{note.reason} {note.detail}".encode()
        assert note.count > 0
    return found


@given(st.data(), st.sampled_from(list(CompressionType)))
def test_mcap_of_any_damage(data, compression):
    whole = whole_mcap(compression)
    torn = data.draw(damaged(whole))
    report = BagReport()
    found = drain(McapFile(io.BytesIO(torn), "bag.mcap", LIMITS, report), report)
    McapFile(io.BytesIO(torn), "bag.mcap", LIMITS, BagReport()).read_metadata()
    if found is not None and len(found) < NUM_MESSAGES:
        assert report.is_lossy


@given(st.binary(max_size=200), st.booleans())
def test_mcap_of_any_bytes(content, has_magic):
    content = b"\x89MCAP0\r\n" + content if has_magic else content
    report = BagReport()
    drain(McapFile(io.BytesIO(content), "bag.mcap", LIMITS, report), report)


@pytest.fixture(scope="module")
def torn_path(tmp_path_factory):
    return tmp_path_factory.mktemp("torn") / "bag.db3"


@given(st.data())
def test_sqlite_of_any_damage(torn_path, data):
    torn_path.write_bytes(data.draw(damaged(whole_sqlite())))
    report = BagReport()
    file = SqliteFile(torn_path, "bag.db3", LIMITS, report)
    file.read_metadata()
    drain(file, report)


@given(st.data(), st.sampled_from(KNOWN_TYPES))
def test_message_of_any_bytes(data, type_name):
    content = data.draw(st.binary(max_size=120) | damaged(SAMPLES.get(type_name, b"\0\1\0\0\1")))
    read_or_refuse(decode_message, type_name, content)


DEFINITION, _ = STORE.generate_msgdef("sensor_msgs/msg/CameraInfo", ros_version=2)


@given(
    st.sampled_from(KNOWN_TYPES),
    st.sampled_from(["ros2msg", "ros2idl", ""]),
    damaged(DEFINITION.encode()).map(lambda data: data.decode("utf-8", "replace")) | TEXTS,
)
def test_definition_of_any_text(type_name, encoding, text):
    assert isinstance(compare_definition(type_name, encoding, text), str)


FULL_MAP = TopicMap(cameras={"front": RAW_CAMERA}, prompt="/prompt", marker="/episode").to_yaml()
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def map_texts(draw):
    """A sound map some of whose values are others; or other text."""
    if draw(st.booleans()):
        return draw(damaged(FULL_MAP.encode())).decode("utf-8", "replace")
    document = yaml.safe_load(FULL_MAP)
    for key in draw(st.sets(st.sampled_from([*sorted(document), "contact"]), max_size=3)):
        document[key] = draw(VALUES)
    if draw(st.booleans()) and isinstance(document.get("cameras"), dict):
        document["cameras"][draw(TEXTS)] = draw(VALUES)
    return yaml.safe_dump(document, allow_unicode=draw(st.booleans()))


@given(map_texts() | TEXTS)
def test_topic_map_of_any_text_is_read_or_refused(text):
    topic_map = read_or_refuse(parse_topic_map, text)
    assert topic_map is None or parse_topic_map(topic_map.to_yaml()) == topic_map


@given(VALUES, damaged(b"relative_file_paths: [a.mcap]\ncustom_data: {prompt: x}\nversion: 9\n"))
def test_metadata_of_any_text_is_read_or_refused(value, torn):
    texts = [torn.decode("utf-8", "replace")]
    for key in ("relative_file_paths", "custom_data", "topics_with_message_count"):
        fields = {"relative_file_paths": ["a.mcap"], key: value}
        texts.append(yaml.safe_dump({"rosbag2_bagfile_information": fields}))
    for text in texts:
        found = read_or_refuse(parse_metadata, text)
        if found is not None:
            assert all(isinstance(word, str) for pair in found.custom.items() for word in pair)
            assert not any("/" in name for name in found.file_names)


@given(st.data(), st.sampled_from(["zstd", "lz4"]))
def test_compressed_data_of_any_damage(data, compression):
    import lz4.frame
    import zstandard

    whole = bytes(range(200)) * 20
    pack = zstandard.compress if compression == "zstd" else lz4.frame.compress
    torn = data.draw(damaged(pack(whole)) | st.binary(max_size=60))
    assert len(inflate_start(torn, compression, 5000)) <= 5000
    assert len(read_or_refuse(inflate, torn, compression, 5000) or b"") <= 5000


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_mask_bits_of_any_mask_come_back(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)


@st.composite
def remarks(draw):
    """Markers, prompts and contacts at any time among the images, some of them damaged."""
    bool_type, string_type = STORE.types["std_msgs/msg/Bool"], STORE.types["std_msgs/msg/String"]
    entries = list(make_messages(SCENE))
    for _ in range(draw(st.integers(0, 5))):
        time_ns = START_NS + draw(st.integers(-(10**8), 3 * 10**8))
        is_marker = draw(st.booleans())
        message = (
            bool_type(data=draw(st.booleans())) if is_marker
            else string_type(data=draw(st.text(max_size=30)))
        )  # fmt: skip
        entries.append(Entry("/episode" if is_marker else "/prompt", time_ns, message))
    return sorted(entries, key=lambda entry: entry.received_ns)


@given(remarks(), st.sampled_from(["bag", "marker", "gap", "prompt"]))
def test_markers_and_prompts_of_any_kind_make_recordings_that_add_up(entries, episodes):
    topic_map = TopicMap(
        cameras=TOPICS.cameras, prompt="/prompt", marker="/episode", episodes=episodes
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_mcap(folder / "bag.mcap", iter(entries))
        recordings, report = read_recordings(
            folder / "bag.mcap", folder / "spool", topic_map, size_hw=(16, 24)
        )
    assert sum(len(recording.frames) for recording in recordings) <= SCENE.num_images + 1
    names = [recording.index.name for recording in recordings]
    assert len(set(names)) == len(names)
    assert all(recording.index.caption.isprintable() for recording in recordings)
    assert not report.is_lossy
