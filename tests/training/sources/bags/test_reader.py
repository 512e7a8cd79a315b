"""A bag is read in a process of its own, and whatever it does there ends as a typed error."""

import dataclasses
import signal
import subprocess
import sys

import pytest

from benchmarks.bag_damage import write_bomb
from benchmarks.bag_maker import BagScene, make_messages, write_mcap
from tavid_core.errors import InputError
from tests.training.sources.bags.bag_helpers import SIZE_HW, TOPICS
from training.sources.bags import reader
from training.sources.bags.limits import BagLimits
from training.sources.bags.reader import inspect_in_process, read_in_process
from training.sources.bags.settings import BagSettings

SCENE = BagScene(num_images=30)
SETTINGS = BagSettings(topic_map=TOPICS, size_hw=SIZE_HW)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp("bag") / "bag.mcap"
    write_mcap(path, make_messages(SCENE))
    return path


def limited(**changes):
    return dataclasses.replace(SETTINGS, limits=dataclasses.replace(BagLimits(), **changes))


def test_events_of_a_sound_bag(bag, tmp_path):
    events = list(read_in_process(bag, "bag", SETTINGS, tmp_path))
    events = [event for event in events if event["event"] != "progress"]
    assert events[0] == {"event": "recording", "index": "bag-front-e000-000.json"}
    assert {event["event"] for event in events[1:]} == {"note"}
    assert not any(event["is_loss"] for event in events[1:])
    assert (tmp_path / "bag-front-e000-000.images").is_file()


def test_a_long_recording_gives_signs_of_life(tmp_path):
    """It has no other event until it ends, and would be taken for dead."""
    path = tmp_path / "long.mcap"
    write_mcap(path, make_messages(dataclasses.replace(SCENE, num_images=150)))
    events = list(read_in_process(path, "bag", limited(max_silence_sec=10.0), tmp_path))
    before = [event["event"] for event in events].index("recording")
    assert before >= 1
    assert {event["event"] for event in events[:before]} == {"progress"}
    assert 0 < events[0]["share"] <= 1


def test_a_chunk_that_needs_more_memory_than_allowed_is_told(tmp_path):
    path, num_bytes = tmp_path / "bomb.mcap", 900 * 2**20
    write_bomb(path, make_messages(SCENE), num_bytes, num_bytes)
    settings = limited(max_memory_bytes=1200 * 2**20, max_chunk_bytes=num_bytes)
    events = list(read_in_process(path, "bag", settings, tmp_path))
    events = [event for event in events if event["event"] != "progress"]
    assert events[0]["event"] == "recording"
    assert "a damaged record" in [event["reason"] for event in events[1:] if event["is_loss"]]


def test_a_process_that_is_killed_is_told(bag, tmp_path, monkeypatch):
    code = f"import os, signal; input(); os.kill(os.getpid(), {int(signal.SIGKILL)})"
    monkeypatch.setattr(reader, "_COMMAND", (sys.executable, "-c", code))
    with pytest.raises(InputError, match="got a reader that ended with signal 9"):
        list(read_in_process(bag, "bag", SETTINGS, tmp_path))


def test_a_process_that_fails_tells_its_last_word(bag, tmp_path, monkeypatch):
    code = "input(); raise OSError(28, 'No space left on device')"
    monkeypatch.setattr(reader, "_COMMAND", (sys.executable, "-c", code))
    with pytest.raises(InputError, match=r"status 1 \(.*No space left on device\)"):
        inspect_in_process(bag)


def test_a_process_that_says_nothing_is_ended(bag, tmp_path, monkeypatch):
    code = "import time; input(); time.sleep(600)"
    monkeypatch.setattr(reader, "_COMMAND", (sys.executable, "-c", code))
    with pytest.raises(InputError, match="got a reader that ended with signal 9"):
        list(read_in_process(bag, "bag", limited(max_silence_sec=0.5), tmp_path))


def test_nobody_is_left_when_the_caller_stops(bag, tmp_path, monkeypatch):
    started, start = [], subprocess.Popen

    def keep(*words, **options):
        started.append(start(*words, **options))
        return started[-1]

    monkeypatch.setattr("training.sources.bags.reader.subprocess.Popen", keep)
    events = read_in_process(bag, "bag", SETTINGS, tmp_path)
    assert next(events)["event"] in ("recording", "progress")
    events.close()
    (process,) = started
    assert process.returncode is not None


@pytest.mark.parametrize("content", [b"", b"no bag"])
def test_files_that_are_no_bag(tmp_path, content):
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mcap must be an MCAP file"):
        inspect_in_process(path)
    with pytest.raises(InputError, match="bag must be a folder with, or a file that ends with"):
        inspect_in_process(tmp_path / "a.bag")


def test_settings_travel_as_they_are():
    settings = limited(max_cpu_sec=5)
    assert BagSettings.from_json(settings.to_json()) == settings
    with pytest.raises(InputError, match="size_hw and fps must be positive"):
        dataclasses.replace(SETTINGS, fps=0)
