"""A bag as a job of the cutter."""

import dataclasses
import pickle

import numpy as np

from benchmarks.bag_maker import BagScene, make_messages, write_mcap
from tests.training.sources.bags.bag_helpers import CAMERA, RAW_CAMERA, SIZE_HW
from training.sources.bags.job import BagJob
from training.sources.bags.settings import BagSettings
from training.sources.bags.topic_map import TopicMap
from training.sources.cut_rules import CutRules
from training.sources.cutter import Window, cut
from training.sources.mask_options import add_masks
from training.sources.masks import MaskMaker
from training.sources.recording import Recording, SourceNote

SCENE = BagScene(num_images=60, is_compressed=False, with_depth=True)
RULES = CutRules(num_frames=17, size_hw=SIZE_HW, min_target_share=0.001)
BARE = dataclasses.replace(RAW_CAMERA, target_mask=None, actor_mask=None)


def make_job(tmp_path, scene=SCENE, camera=RAW_CAMERA, keep=lambda _: True):
    path = tmp_path / "bag.mcap"
    write_mcap(path, filter(keep, make_messages(scene)))
    topic_map = TopicMap(cameras={"front": camera}, prompt="/prompt")
    settings = BagSettings(topic_map=topic_map, size_hw=SIZE_HW)
    return BagJob(name="bag", bag=path, settings=settings, licence="CC0-1.0")


def find_clips(job):
    """Open a job as a worker does; gives windows or rejections, and notes."""
    found, notes = [], []
    for item in pickle.loads(pickle.dumps(job)).open():
        if isinstance(item, SourceNote):
            notes.append(item)
        elif isinstance(item, Recording):
            found += list(cut(item, RULES))
    return found, notes


def overlap(mask, other):
    return (mask & other).sum() / (mask | other).sum()


def image_of(window):
    return int(np.ceil(window.start * 2.5 - 0.5))


def test_a_recording_knows_what_the_bag_knows(tmp_path):
    (window,), notes = find_clips(make_job(tmp_path))
    assert isinstance(window, Window), window.reason
    assert (window.recording.source, window.recording.licence) == ("bags", "CC0-1.0")
    assert window.recording.caption == SCENE.prompt
    image = image_of(window)
    np.testing.assert_array_equal(window.frames_THWC[0], SCENE.draw(image))
    np.testing.assert_array_equal(window.target_mask, SCENE.target_mask(image))
    np.testing.assert_allclose(window.truth["depth_m"], (1000 + image) / 1000)
    assert window.camera.fx == 96
    assert not any(note.is_loss for note in notes)


def test_its_files_are_gone_when_the_next_recording_comes(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    job = dataclasses.replace(make_job(tmp_path), spool_folder=spool)
    items = job.open()
    assert any(isinstance(item, Recording) for item in items)
    assert list(spool.rglob("*.images"))
    assert not any(isinstance(item, Recording) for item in items)
    assert list(spool.iterdir()) == []


def test_one_mask_holds_as_long_as_its_place_looks_the_same(tmp_path):
    """Recorded once, in the middle of the approach; the target is touched in image 30."""
    masks = iter(range(1000))
    job = make_job(tmp_path, keep=lambda e: e.topic != CAMERA.target_mask or next(masks) == 10)
    (window,), _ = find_clips(job)
    assert isinstance(window, Window), window.reason
    np.testing.assert_array_equal(window.target_mask, SCENE.target_mask(0))
    marked = sorted(window.recording.target_masks)
    assert marked[0] == 0
    # The hand covers the target's place from image 30 = frame 12 on.
    assert 9 <= marked[-1] <= 12


def test_without_masks_a_click_gives_them(tmp_path):
    clicks = tmp_path / "clicks.json"
    # In the middle of the target, pixels of the frames that come out.
    row, column = (round(v) for v in np.argwhere(SCENE.target_mask(0)).mean(axis=0))
    clicks.write_text(f'{{"*": [{{"frame": 2, "target": [[{column}, {row}]]}}]}}')
    job = make_job(tmp_path, camera=dataclasses.replace(RAW_CAMERA, target_mask=None))
    maker = MaskMaker(clicks_file=clicks)
    ((window,), _) = find_clips(*add_masks([job], maker))
    assert isinstance(window, Window), window.reason
    assert overlap(window.target_mask, SCENE.target_mask(0)) > 0.8


def test_without_masks_a_box_gives_them(tmp_path):
    clicks = tmp_path / "clicks.csv"
    rows, columns = np.nonzero(SCENE.target_mask(0))
    box = (columns.min() - 2, rows.min() - 2, columns.max() + 2, rows.max() + 2)
    text = "recording,frame,kind,x,y,x1,y1\nbag-front-e000-000,0,box," + ",".join(map(str, box))
    clicks.write_text(text + "\n")
    job = make_job(tmp_path, camera=dataclasses.replace(RAW_CAMERA, target_mask=None))
    ((window,), _) = find_clips(*add_masks([job], MaskMaker(clicks_file=clicks)))
    assert isinstance(window, Window), window.reason
    assert overlap(window.target_mask, SCENE.target_mask(0)) > 0.8


def test_without_masks_what_moves_is_the_target(tmp_path):
    still = dataclasses.replace(SCENE, num_images=90)
    job = make_job(tmp_path, scene=still, camera=BARE)
    (found,), _ = find_clips(*add_masks([job], MaskMaker(from_motion=True)))
    assert isinstance(found, Window), (found.reason, found.detail)
    assert overlap(found.target_mask, still.target_mask(0)) > 0.6


def test_without_any_masks_the_window_is_counted(tmp_path):
    (found,), _ = find_clips(make_job(tmp_path, camera=BARE))
    assert found.reason.value == "neither contact, hands nor actor masks are known"
