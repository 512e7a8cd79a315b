"""Which messages of a bag become which recordings."""

import dataclasses

import numpy as np
import pytest

from benchmarks.bag_maker import START_NS, STORE, TYPES, BagScene, Entry, make_messages, write_mcap
from tavid_core.errors import InputError
from tests.training.sources.bags.bag_helpers import (
    CAMERA,
    RAW_CAMERA,
    TOPICS,
    change_entries,
    read_recordings,
)
from training.sources.bags.topic_map import ContactTopic, TopicMap

SECOND_NS = 1_000_000_000
SCENE = BagScene(num_images=30)
BOOL, STRING = STORE.types["std_msgs/msg/Bool"], STORE.types["std_msgs/msg/String"]


def at(second, topic, message):
    return Entry(topic, START_NS + round(second * SECOND_NS), message)


def read(tmp_path, entries, **changes):
    """Write entries by their time, read them with a changed map; gives recordings and notes."""
    path = tmp_path / "bag.mcap"
    write_mcap(path, iter(sorted(entries, key=lambda entry: entry.received_ns)))
    topic_map = dataclasses.replace(TOPICS, **changes)
    recordings, report = read_recordings(path, tmp_path / "spool", topic_map)
    notes = {note.reason: note for note in report.source_notes()}
    return recordings, notes


def names(recordings):
    return [recording.index.name for recording in recordings]


def lengths(recordings):
    return [len(recording.frames) for recording in recordings]


def without(topics, first=0, stop=10**9):
    """The scene without some messages of some topics, by number of the message of that topic."""
    seen = dict.fromkeys(topics, 0)
    for entry in make_messages(SCENE):
        if entry.topic in seen:
            seen[entry.topic] += 1
            if first <= seen[entry.topic] - 1 < stop:
                continue
        yield entry


def test_a_bag_is_one_episode(tmp_path):
    recordings, notes = read(tmp_path, make_messages(SCENE))
    assert names(recordings) == ["bag-front-e000-000"]
    assert notes["messages of /camera/image/compressed read"].count == 30
    assert not any(note.is_loss for note in notes.values())


def test_markers_begin_and_end_episodes(tmp_path):
    marks = [(0.2, True), (0.6, False), (0.9, True), (1.3, False)]
    entries = [*make_messages(SCENE), *(at(s, "/episode", BOOL(data=on)) for s, on in marks)]
    recordings, _ = read(tmp_path, entries, episodes="marker", marker="/episode")
    assert names(recordings) == ["bag-front-e001-000", "bag-front-e002-001"]
    # 0.2..0.6 s and 0.9..1.3 s at 8 Hz.
    assert lengths(recordings) == [4, 4]
    np.testing.assert_array_equal(recordings[0].target_masks[0], SCENE.target_mask(4))


def test_any_message_of_another_type_marks_a_beginning(tmp_path):
    entries = [*make_messages(SCENE), at(0.5, "/prompt", STRING(data="next"))]
    recordings, _ = read(tmp_path, entries, episodes="marker", marker="/prompt", prompt=None)
    assert names(recordings) == ["bag-front-e001-000", "bag-front-e002-001"]


def test_a_pause_divides_episodes_and_a_shorter_hole_recordings(tmp_path):
    entries = list(make_messages(BagScene(num_images=100)))
    kept = [e for e in entries if not START_NS + SECOND_NS < e.received_ns < START_NS + 2e9]
    kept = [e for e in kept if not START_NS + 3e9 < e.received_ns < START_NS + 4.8e9]
    recordings, notes = read(tmp_path, kept, episodes="gap", gap_sec=1.5)
    assert names(recordings) == [
        "bag-front-e000-000",
        "bag-front-e000-001",
        "bag-front-e001-002",
    ]
    note = notes["gaps in /camera/image/compressed"]
    assert note.detail.startswith(("1.0", "1.8"))
    assert not note.is_loss


def test_another_prompt_begins_an_episode(tmp_path):
    said = [(0.5, "A person moves the box."), (0.75, " A person opens\nthe box. ")]
    entries = [*make_messages(SCENE), *(at(s, "/prompt", STRING(data=text)) for s, text in said)]
    recordings, _ = read(tmp_path, entries, episodes="prompt")
    assert [r.index.caption for r in recordings] == [
        "A person moves the box.",
        "A person opens the box.",
    ]
    assert names(recordings) == ["bag-front-e000-000", "bag-front-e001-001"]


def test_a_prompt_that_comes_late_names_the_recording_that_has_none(tmp_path):
    entries = [e for e in make_messages(SCENE) if e.topic != "/prompt"]
    late = at(0.5, "/prompt", STRING(data="A person moves the box."))
    recordings, _ = read(tmp_path, [*entries, late])
    assert recordings[0].index.caption == "A person moves the box."


def test_prompt_text_stands_in_where_nobody_said_it(tmp_path):
    entries = [e for e in make_messages(SCENE) if e.topic != "/prompt"]
    recordings, notes = read(tmp_path, entries, prompt_text="A person moves a thing.")
    assert recordings[0].index.caption == "A person moves a thing."
    assert notes["topics of the map that the bag lacks"].detail == "/prompt"


@pytest.mark.parametrize("clock", ["header", "receive"])
def test_the_clock_that_the_map_names_decides(tmp_path, clock):
    """Messages that were held up: the recorder got all of them within a tenth of their time."""
    entries = [
        dataclasses.replace(e, received_ns=START_NS + (e.received_ns - START_NS) // 10)
        for e in make_messages(SCENE)
    ]
    recordings, notes = read(tmp_path, entries, time=clock)
    assert lengths(recordings) == [13 if clock == "header" else 2]
    assert not any(note.is_loss for note in notes.values())


def test_messages_without_a_stamp_take_the_time_they_were_received(tmp_path):
    zero = dataclasses.replace(SCENE, stamp_offset_ns=-START_NS)
    entries = []
    for entry in make_messages(zero):
        message = entry.message
        if hasattr(message, "header"):
            header = dataclasses.replace(
                message.header, stamp=STORE.types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
            )
            message = dataclasses.replace(message, header=header)
        entries.append(Entry(entry.topic, entry.received_ns, message))
    recordings, notes = read(tmp_path, entries)
    assert lengths(recordings) == [13]
    assert notes["messages without a stamp, taken at the time they were received"].count == 120
    assert len(recordings[0].target_masks) == 13


def test_a_clock_that_jumps_back_begins_a_recording(tmp_path):
    def jump(_, entry):
        half = START_NS + SECOND_NS * 3 // 4
        if entry.received_ns < half or not hasattr(entry.message, "header"):
            return entry
        stamp = entry.message.header.stamp
        stamp = dataclasses.replace(stamp, sec=stamp.sec - 100)
        header = dataclasses.replace(entry.message.header, stamp=stamp)
        return dataclasses.replace(entry, message=dataclasses.replace(entry.message, header=header))

    recordings, notes = read(tmp_path, change_entries(SCENE, jump))
    assert len(recordings) == 2
    assert notes["a clock that went back"].count == 1
    # The mask that came just before the first image on the new clock belongs to it.
    assert 0 in recordings[1].target_masks


def test_images_out_of_order_are_left_out_and_told(tmp_path):
    images = [e for e in make_messages(SCENE) if e.topic == CAMERA.image]
    swapped = dataclasses.replace(images[10], received_ns=images[11].received_ns + 1)
    entries = [e for e in make_messages(SCENE) if e.message is not images[10].message]
    recordings, notes = read(tmp_path, [*entries, swapped])
    lost = notes[f"messages of {CAMERA.image} lost: stamped before the image that came before it"]
    assert (lost.count, lost.is_loss) == (1, True)
    assert len(recordings) == 1


def test_two_cameras_become_recordings_of_their_own(tmp_path):
    scene = dataclasses.replace(SCENE, is_compressed=False, with_depth=True)
    raw = [e for e in make_messages(scene) if e.topic in (RAW_CAMERA.image, RAW_CAMERA.depth)]
    cameras = {"front": CAMERA, "side": dataclasses.replace(RAW_CAMERA, actor_mask=None)}
    recordings, _ = read(tmp_path, [*make_messages(SCENE), *raw], cameras=cameras)
    assert names(recordings) == ["bag-front-e000-000", "bag-side-e000-000"]
    side = recordings[1]
    # Uncompressed images come out as they went in.
    np.testing.assert_array_equal(side.frames[0], SCENE.draw(0))
    assert len(side.index.depths) == 13
    assert not side.actor_masks
    assert not recordings[0].index.depths


def test_a_mask_far_from_its_image_is_not_used(tmp_path):
    def shift(_, entry):
        is_mask = entry.topic == CAMERA.target_mask
        late = round(0.02 * SECOND_NS)
        if not is_mask:
            return entry
        stamp = entry.message.header.stamp
        stamp = dataclasses.replace(stamp, nanosec=(stamp.nanosec + late) % SECOND_NS)
        header = dataclasses.replace(entry.message.header, stamp=stamp)
        return dataclasses.replace(entry, message=dataclasses.replace(entry.message, header=header))

    entries = list(change_entries(SCENE, shift))
    recordings, _ = read(tmp_path, entries, pair_max_offset_sec=0.03)
    assert len(recordings[0].target_masks) >= 12
    recordings, _ = read(tmp_path, entries, pair_max_offset_sec=0.01)
    assert len(recordings[0].target_masks) == 0


def test_the_only_mask_of_an_episode_may_come_just_before_its_first_image(tmp_path):
    """After a pause the mask comes while the recording before the pause is still open."""
    start_ns = START_NS + 3 * SECOND_NS
    second = [
        entry
        for entry in make_messages(dataclasses.replace(SCENE, num_images=90))
        if entry.received_ns == start_ns
        or (entry.received_ns > start_ns and entry.topic != CAMERA.target_mask)
    ]
    recordings, _ = read(tmp_path, [*make_messages(SCENE), *second], episodes="gap", gap_sec=1.0)
    assert len(recordings) == 2
    assert list(recordings[1].target_masks) == [0]


def test_wrong_sizes_of_masks_are_told(tmp_path):
    small = BagScene(num_images=30, size_hw=(32, 48))
    entries = [e for e in make_messages(SCENE) if e.topic != CAMERA.target_mask]
    entries += [e for e in make_messages(small) if e.topic == CAMERA.target_mask]
    recordings, notes = read(tmp_path, entries)
    lost = notes[f"messages of {CAMERA.target_mask} lost: does not fit its image"]
    assert lost.count == 13
    assert "(64, 96), got (32, 48)" in lost.detail
    assert not recordings[0].target_masks


def test_an_image_of_another_size_begins_a_recording(tmp_path):
    small = BagScene(num_images=60, size_hw=(32, 48))
    entries = list(make_messages(SCENE))
    entries += [e for e in make_messages(small) if e.received_ns >= START_NS + 1.5e9]
    recordings, notes = read(tmp_path, entries)
    assert [r.index.image_size_hw for r in recordings] == [(64, 96), (32, 48)]
    assert notes["an image of another size"].count == 1


def test_damaged_images_are_bridged_or_end_the_recording(tmp_path):
    def damage(numbers):
        seen = iter(range(1000))

        def change(_, entry):
            if entry.topic != CAMERA.image or next(seen) not in numbers:
                return entry
            # Size and end mark stand, what lies between does not decode.
            data = entry.message.data.copy()
            start = bytes(data).index(b"\xff\xc4")
            data[start + 2 : start + 4] = 0
            return dataclasses.replace(entry, message=dataclasses.replace(entry.message, data=data))

        return list(change_entries(SCENE, change))

    recordings, notes = read(tmp_path, damage({10}))
    assert lengths(recordings) == [13]
    assert notes[f"messages of {CAMERA.image} lost: cannot be decoded"].count == 1
    np.testing.assert_array_equal(recordings[0].frames[4], recordings[0].frames[3])
    recordings, notes = read(tmp_path, damage(set(range(8, 20))))
    assert len(recordings) == 2
    assert notes[f"messages of {CAMERA.image} lost: cannot be decoded"].count >= 3


@pytest.mark.parametrize("kind", ["joint", "bool"])
def test_contact_of_a_topic(tmp_path, kind):
    entries = list(make_messages(SCENE))
    contact = ContactTopic(topic="/joint_states", joint="finger", closed_below=0.02)
    if kind == "bool":
        contact = ContactTopic(topic="/episode")
        entries += [at(0, "/episode", BOOL(data=False)), at(0.74, "/episode", BOOL(data=True))]
    recordings, _ = read(tmp_path, entries, contact=contact)
    # Image 15 at 0.75 s is the first with contact.
    assert recordings[0].index.contact == [False] * 6 + [True] * 7


def test_contact_that_the_map_describes_wrongly_is_told(tmp_path):
    joint = ContactTopic(topic="/joint_states", joint="thumb", closed_below=0.02)
    recordings, notes = read(tmp_path, make_messages(SCENE), contact=joint)
    assert notes["contact of the map that no message tells"].detail == "thumb"
    assert recordings[0].index.contact is None
    mixed = dataclasses.replace(joint, topic="/episode")
    entries = [*make_messages(SCENE), at(0, "/episode", BOOL(data=True))]
    _, notes = read(tmp_path, entries, contact=mixed)
    lost = notes["messages of /episode lost: cannot be used"]
    assert "must be a JointState where the map names a joint" in lost.detail
    _, notes = read(tmp_path, make_messages(SCENE), contact=ContactTopic(topic="/joint_states"))
    lost = notes["messages of /joint_states lost: cannot be used"]
    assert (lost.count, "must name joint and closed_below" in lost.detail) == (30, True)


def test_roles_of_a_wrong_type_are_told(tmp_path):
    cameras = {"front": dataclasses.replace(CAMERA, target_mask="/prompt")}
    _, notes = read(tmp_path, make_messages(SCENE), cameras=cameras, prompt=None)
    lost = notes["messages of /prompt lost: cannot be used"]
    assert "target_mask must be of type sensor_msgs/msg/Image or" in lost.detail


def test_a_map_without_an_image_topic_of_the_bag_is_refused(tmp_path):
    cameras = {"front": dataclasses.replace(CAMERA, image="/nowhere")}
    with pytest.raises(InputError, match=r"cameras must name an image topic of the bag.*/prompt"):
        read(tmp_path, make_messages(SCENE), cameras=cameras)


def test_a_bag_that_defines_a_type_in_another_way_is_not_guessed_at(tmp_path):
    """Also where the definition comes in the middle of a file without an index."""
    from mcap.writer import IndexType, Writer

    path = tmp_path / "bag.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream, use_chunking=False, index_types=IndexType.NONE,
                        repeat_channels=False, repeat_schemas=False, use_statistics=False,
                        use_summary_offsets=False)  # fmt: skip
        writer.start("ros2", "test")
        channels = {}
        for entry in make_messages(SCENE):
            type_name = TYPES[entry.topic]
            if entry.topic not in channels:
                text, _ = STORE.generate_msgdef(type_name, ros_version=2)
                if entry.topic == CAMERA.image:
                    text = text.replace("string format", "string kind\nstring format")
                schema = writer.register_schema(type_name, "ros2msg", text.encode())
                channels[entry.topic] = writer.register_channel(entry.topic, "cdr", schema)
            time_ns = entry.received_ns
            writer.add_message(channels[entry.topic], time_ns, entry.serialize(), time_ns)
        writer.finish()
    recordings, report = read_recordings(path, tmp_path / "spool")
    assert recordings == []
    lost = report.topics[CAMERA.image].dropped
    assert lost == {"cannot be used": 30}
    details = [note.detail for note in report.source_notes()]
    assert any("in another way than ROS" in detail for detail in details)


def test_topic_maps_are_not_shared_between_cameras():
    assert TopicMap(cameras={"a": CAMERA, "b": RAW_CAMERA}).topics >= {
        CAMERA.image,
        RAW_CAMERA.depth,
    }
