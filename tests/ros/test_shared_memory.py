"""Which shared memory is taken for that of a dead process."""

from __future__ import annotations

import fcntl
import os
import time

import pytest

from tavid_ros.shared_memory import remove_stale_segments

NAMES = ("fastrtps_00112233445566aa", "fastdds_00112233445566bb")


@pytest.fixture
def segments(tmp_path):
    """Two segments with their locks, and files that are none."""
    for name in NAMES:
        (tmp_path / name).write_bytes(b"x" * 1000)
        (tmp_path / f"{name}_el").touch()
    for name in (
        "fastrtps_port7411",
        "fastrtps_port7411_el",
        "fast_el",
        "sem.mine",
        "fastrtps_x_el",
    ):
        (tmp_path / name).write_bytes(b"y")
    long_ago = time.time() - 60.0
    for path in tmp_path.iterdir():
        os.utime(path, (long_ago, long_ago))
    return tmp_path


def test_segments_without_an_owner_are_removed_and_nothing_else(segments):
    others = {path.name for path in segments.iterdir() if not path.name.startswith(NAMES)}
    assert remove_stale_segments(segments) == 2000
    assert {path.name for path in segments.iterdir()} == others
    assert remove_stale_segments(segments) == 0


def test_segment_of_a_living_owner_stays(segments):
    with (segments / f"{NAMES[0]}_el").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_stale_segments(segments) == 1000
    assert (segments / NAMES[0]).exists()
    assert not (segments / NAMES[1]).exists()


def test_segment_that_is_being_made_stays(segments):
    os.utime(segments / f"{NAMES[0]}_el")
    assert remove_stale_segments(segments) == 1000
    assert (segments / NAMES[0]).exists()


def test_links_are_not_followed(segments, tmp_path_factory):
    precious = tmp_path_factory.mktemp("elsewhere") / "file"
    precious.write_text("mine")
    lock = segments / f"{NAMES[0]}_el"
    lock.unlink()
    lock.symlink_to(precious)
    remove_stale_segments(segments)
    assert precious.read_text() == "mine"
    assert (segments / NAMES[0]).exists()


def test_folder_that_does_not_exist_holds_nothing(tmp_path):
    assert remove_stale_segments(tmp_path / "none") == 0
