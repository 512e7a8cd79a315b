"""LeRobot data sets become one recording per episode and camera, with contact from the gripper."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tests.training.sources.drawn_touch import draw_touch
from tests.training.sources.published_behave import write_json
from tests.training.sources.published_lerobot import CAMERA, write_lerobot, write_table
from training.sources.lerobot.episode import list_episode_jobs
from training.sources.lerobot.gripper import find_grasps
from training.sources.recording import Recording, SourceNote

FIRST = draw_touch(num_frames=75, contact=40)
SECOND = draw_touch(num_frames=90, contact=60, seed=1)


def open_episodes(root, **options):
    found = []
    for job in list_episode_jobs(root, 8.0, **options):
        items = list(pickle.loads(pickle.dumps(job)).open())
        recordings = [item for item in items if isinstance(item, Recording)]
        found.append((recordings, [item for item in items if isinstance(item, SourceNote)]))
    return found


@pytest.mark.parametrize("robot", ["so100", "Franka Panda"])
def test_episodes_share_a_video_and_a_table(tmp_path, robot):
    write_lerobot(tmp_path, [FIRST, SECOND], robot=robot)
    ((first,), notes), ((second,), _) = open_episodes(tmp_path, licence="apache-2.0")
    assert notes == []
    assert (first.name, second.name) == ("episode_000000_front_0", "episode_000001_front_0")
    assert (first.num_frames, second.num_frames) == (20, 24)
    assert first.caption == "A robot arm carries out the task: Pick up the red disc."
    assert first.licence == "apache-2.0"
    assert dict(first.target_masks) == {}
    # The gripper closes from five frames before the contact; two later it has gone a fifth.
    assert int(np.nonzero(first.contact)[0].min()) == np.ceil(37 / 30 * 8)
    assert int(np.nonzero(second.contact)[0].min()) == np.ceil(57 / 30 * 8)
    for recording, drawn in ((first, FIRST), (second, SECOND)):
        frame = recording.read_frames(8, 9)[0].astype(int)
        assert np.abs(frame - drawn.frames[30]).mean() < 6


def test_names_may_be_a_list(tmp_path):
    write_lerobot(tmp_path, [FIRST], names=["x", "y", "main_gripper.pos"])
    (((recording,), _),) = open_episodes(tmp_path)
    assert recording.contact.any()


def test_data_sets_without_a_gripper(tmp_path):
    write_lerobot(tmp_path, [FIRST], names=["x", "y", "z"])
    (((recording,), (note,)),) = open_episodes(tmp_path)
    assert recording.contact is None
    assert (note.reason, note.is_loss) == ("no gripper is named", False)


def test_cut_off_video_is_noted(tmp_path):
    write_lerobot(tmp_path, [FIRST, SECOND])
    path = tmp_path / "videos" / CAMERA / "chunk-000" / "file-000.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    (first, notes), (second, lost) = open_episodes(tmp_path)
    assert len(first) == 1
    assert notes == []
    assert lost[0].reason == "frames missing"
    assert sum(recording.num_frames for recording in second) < 24


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("meta/info.json", r"info\.json must be a readable JSON"),
        ("meta/episodes/chunk-000/file-000.parquet", "must be a readable parquet file"),
        ("data/chunk-000/file-000.parquet", "must be a readable parquet file"),
        (f"videos/{CAMERA}/chunk-000/file-000.mp4", "must be a readable video"),
    ],
)
def test_damaged_files_are_refused(tmp_path, path, match):
    write_lerobot(tmp_path, [FIRST])
    (tmp_path / path).write_bytes(b"PAR1 damaged")
    with pytest.raises(InputError, match=match):
        open_episodes(tmp_path)


def test_missing_tables_are_refused(tmp_path):
    write_lerobot(tmp_path, [FIRST])
    episodes = tmp_path / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    write_table(episodes, {"episode_index": [0], "length": [3]})
    with pytest.raises(InputError, match="parquet"):
        open_episodes(tmp_path)
    episodes.unlink()
    with pytest.raises(InputError, match="must hold meta/episodes"):
        open_episodes(tmp_path)


def test_other_formats_and_layouts_are_refused(tmp_path):
    write_lerobot(tmp_path, [FIRST], version="v2.1")
    with pytest.raises(InputError, match=r"must have format v3\.x, got 'v2\.1'"):
        open_episodes(tmp_path)
    write_lerobot(tmp_path, [FIRST])
    with pytest.raises(InputError, match=r"cameras must be among observation\.images\.front"):
        open_episodes(tmp_path, cameras=["observation.images.depth"])
    features = {"../up": {"dtype": "video"}}
    info = {"codebase_version": "v3.0", "fps": 30, "features": features}
    write_json(tmp_path / "meta" / "info.json", info)
    with pytest.raises(InputError, match="must name cameras by letters"):
        open_episodes(tmp_path)
    info |= {"video_path": "videos/{video_key.__class__}.mp4"}
    write_json(tmp_path / "meta" / "info.json", info)
    with pytest.raises(InputError, match="video_path must be"):
        open_episodes(tmp_path)


def test_grasps():
    ways = [0, 0, 0.1, 0.15, 0.25, 0.3, 0.3, 0.25, 0.05, 0]
    assert find_grasps(np.array(ways)).tolist() == [False] * 4 + [True] * 4 + [False] * 2
    assert find_grasps(np.array([1, 1, 0.5, 0, 0, 0.4])).tolist() == [1, 1, 0, 0, 0, 1]
    assert find_grasps(np.array([np.nan, 0.0, np.nan])).tolist() == [False] * 3


@given(ways=st.lists(st.floats(-0.2, 1.2), max_size=60))
def test_small_ways_are_no_grasp(ways):
    values = np.array(ways)
    holds = find_grasps(values)
    assert holds.shape == values.shape
    if len(values) and values.max() - values.min() < 0.2 and values[0] <= 0.75:
        assert not holds.any()
    shrunk = find_grasps(values * 0.14)
    assert not shrunk.any()
