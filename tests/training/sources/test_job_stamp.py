"""What a job reads decides whether it is done again: every file of every source, and its values."""

import dataclasses
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tavid_core.errors import InputError
from tests.training.sources.drawn_touch import draw_touch
from tests.training.sources.published_behave import (
    SEQUENCE,
    write_calibration,
    write_frame_folders,
    write_masks_30,
    write_objects,
    write_pack,
    write_params,
    write_videos,
)
from tests.training.sources.published_egoexo4d import (
    TAKE,
    UID,
    describe,
    write_descriptions,
    write_egoexo4d,
    write_relations,
)
from tests.training.sources.published_lerobot import CAMERA, write_lerobot
from training.sources import job_stamp
from training.sources.bags.job import BagJob
from training.sources.bags.settings import BagSettings
from training.sources.bags.topic_map import CameraTopics, TopicMap
from training.sources.behave.listing import list_sequence_jobs
from training.sources.behave.pack import list_pack_jobs
from training.sources.cut_rules import CutRules
from training.sources.egoexo4d.listing import list_take_jobs
from training.sources.job_stamp import stamp_job
from training.sources.lerobot.episode import list_episode_jobs
from training.sources.masks import MaskedJob, MaskMaker

DRAWN = draw_touch(num_frames=40, contact=20)
RULES = CutRules(num_frames=17, size_hw=(64, 96))


@dataclasses.dataclass(frozen=True)
class FileJob:
    name: str = "job"
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    by_camera: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    fps: float = 8.0
    inner: object = None

    def open(self):
        yield from ()


def overwrite(path):
    """Change one byte in place, as a copy that goes on does: name, size and folder stay."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    before = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before + 10**9, before + 10**9))


@pytest.mark.parametrize("field", ["folder", "files", "by_camera", "inner"])
def test_files_in_folders_tuples_and_mappings_count(tmp_path, field):
    path = tmp_path / "deep" / "er" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    values = {
        "folder": tmp_path,
        "files": (path,),
        "by_camera": {"front": path},
        "inner": FileJob(files=(path,)),
    }
    job = FileJob(**{field: values[field]})
    first = stamp_job(job)
    assert stamp_job(job) == first
    overwrite(path)
    second = stamp_job(job)
    path.write_bytes(b"longer")
    third = stamp_job(job)
    path.unlink()
    assert len({first, second, third, stamp_job(job)}) == 4


def test_a_file_that_comes_later_counts(tmp_path):
    job = FileJob(files=(tmp_path / "file",))
    before = stamp_job(job)
    (tmp_path / "file").write_bytes(b"")
    assert stamp_job(job) != before


def test_values_count_and_the_place_of_the_data_does_not(tmp_path):
    (tmp_path / "a" / "set").mkdir(parents=True)
    (tmp_path / "a" / "set" / "file").write_bytes(b"one")
    job = FileJob(folder=tmp_path / "a" / "set")
    first = stamp_job(job)
    assert stamp_job(dataclasses.replace(job, fps=4.0)) != first
    assert stamp_job(dataclasses.replace(job, inner={"a", "b"})) != first
    assert stamp_job(dataclasses.replace(job, name="other")) != first
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert stamp_job(FileJob(folder=tmp_path / "b" / "set")) == first


def test_a_folder_of_too_many_files_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(job_stamp, "MAX_FILES", 2)
    for name in "abc":
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="must hold at most 2 files"):
        stamp_job(FileJob(folder=tmp_path))


@pytest.fixture(scope="module")
def behave(tmp_path_factory):
    root = tmp_path_factory.mktemp("behave")
    write_calibration(root, kinects=(1,))
    write_objects(root)
    write_videos(root / "videos", DRAWN, kinects=(1,))
    write_masks_30(root / "masks", DRAWN, kinects=(1,), every=20)
    write_params(root / "params", range(0, 40, 10))
    write_frame_folders(root, DRAWN, times_sec=[0, 1], kinects=(1,), form="meshes")
    return root


def behave_job(root, *parts):
    folders = {part: root / part for part in parts}
    (job,) = list_sequence_jobs(root, 8.0, videos=root / "videos", **folders)
    return job


def test_behave_masks_and_registrations_that_are_added_count(behave):
    stamps = {stamp_job(behave_job(behave, *parts)) for parts in ([], ["masks"], ["params"])}
    assert len(stamps) == 3


@pytest.mark.parametrize(
    "name",
    [
        f"videos/{SEQUENCE}.1.color.mp4",
        f"videos/{SEQUENCE}.1.time.json",
        f"masks/{SEQUENCE}/t0000.000-k1.obj_rend_mask.png",
        f"params/{SEQUENCE}/object_fit_all.npz",
        f"sequences/{SEQUENCE}/t0001.000/k1.color.jpg",
        f"sequences/{SEQUENCE}/t0001.000/person/fit02/person_fit.ply",
        "calibs/intrinsics/1/calibration.json",
        "objects/chairwood/chairwood_f2500.ply",
    ],
)
def test_behave_files_count(behave, name):
    job = behave_job(behave, "masks", "params")
    before = stamp_job(job)
    overwrite(behave / name)
    assert stamp_job(job) != before


def test_behave_packs_count(tmp_path):
    write_pack(tmp_path, DRAWN)
    (job,) = list_pack_jobs(tmp_path, 8.0)
    for name in ("v001.mp4", "v001_obj_mask.mp4", "v001_gt.pkl"):
        before = stamp_job(job)
        overwrite(tmp_path / name)
        assert stamp_job(job) != before


def test_egoexo4d_masks_descriptions_and_files_count(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)

    def stamp():
        (job,) = list_take_jobs(tmp_path, RULES)
        return stamp_job(job)

    stamps = [stamp()]
    write_relations(tmp_path, DRAWN, every=15)
    stamps.append(stamp())
    write_descriptions(tmp_path, [describe("C lifts the red disc.")])
    stamps.append(stamp())
    take = tmp_path / "takes" / TAKE
    poses = tmp_path / "annotations/ego_pose/train"
    for path in (
        take / "trajectory/gopro_calibs.csv",
        take / "frame_aligned_videos/cam01.mp4",
        poses / f"hand/annotation/{UID}.json",
        poses / f"body/annotation/{UID}.json",
    ):
        overwrite(path)
        stamps.append(stamp())
    assert len(set(stamps)) == len(stamps) == 7
    # Another part of the data set that is downloaded later says nothing about the clips.
    (take / "eye_gaze").mkdir()
    (take / "eye_gaze" / "general_eye_gaze.csv").write_text("later")
    assert stamp() == stamps[-1]


@pytest.mark.parametrize(
    "name", ["data/chunk-000/file-000.parquet", f"videos/{CAMERA}/chunk-000/file-000.mp4"]
)
def test_lerobot_tables_and_videos_count(tmp_path, name):
    write_lerobot(tmp_path, [DRAWN])
    (job,) = list_episode_jobs(tmp_path, 8.0)
    before = stamp_job(job)
    overwrite(tmp_path / name)
    assert stamp_job(job) != before
    (other,) = list_episode_jobs(tmp_path, 8.0, closed="high")
    assert stamp_job(other) != stamp_job(job)


def test_bags_count_by_the_files_in_their_folder_and_their_licence(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "bag.mcap").write_bytes(b"torn")
    settings = BagSettings(
        topic_map=TopicMap(cameras={"front": CameraTopics(image="/image")}), size_hw=(64, 96)
    )
    job = BagJob(name="bag", bag=tmp_path / "bag", settings=settings)
    before = stamp_job(job)
    assert stamp_job(dataclasses.replace(job, licence="CC0-1.0")) != before
    # Where frames lie while a bag is cut says nothing about them.
    assert stamp_job(dataclasses.replace(job, spool_folder=tmp_path)) == before
    overwrite(tmp_path / "bag" / "bag.mcap")
    assert stamp_job(job) != before


def test_masks_that_are_made_count_and_their_device_does_not(tmp_path):
    clicks = tmp_path / "clicks.json"
    clicks.write_text('{"*": [{"frame": 0, "target": [[3, 4]]}]}')

    def stamp(**options):
        return stamp_job(MaskedJob(FileJob(), MaskMaker(clicks_file=clicks, **options)))

    first = stamp()
    assert stamp(device="cuda") == first
    assert stamp(min_score=0.3) != first
    clicks.write_text('{"*": [{"frame": 0, "target": [[4, 4]]}]}')
    assert stamp() != first
