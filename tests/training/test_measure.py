"""Overlap of an attention map with a mask, by hand; what a model is asked and shown."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from tavid_core.errors import InputError
from tests.training_clips import write_clips
from training import measure as measuring
from training.clips import METADATA_NAME, read_mask, read_records
from training.measure import attention_iou, measure, spoil_target
from training.sloppy_masks import make_sloppy


def test_overlap_of_a_map_with_its_mask():
    mask = np.zeros((8, 12), dtype=bool)
    mask[0:4, 0:4] = True  # on a grid of 4 x 6: the first two rows and columns
    map_hw = np.zeros((4, 6), dtype=np.float32)
    map_hw[:2, :2] = 0.002
    assert attention_iou(map_hw, mask) == 1.0
    map_hw[:2, 2:4] = 0.0015
    assert attention_iou(map_hw, mask) == pytest.approx(0.5)


def test_a_flat_map_overlaps_nothing():
    assert attention_iou(np.full((4, 6), 0.3, np.float32), np.eye(8, 12, dtype=bool)) == 0.0


class AskedError(Exception):
    """Ends a measurement once it is known what the model is asked."""


def ask(folder, num_slots, monkeypatch, **options):
    """Give the requests that a model of so many slots is asked."""

    def imagine(_, requests, **__):
        raise AskedError(requests)

    monkeypatch.setattr(measuring, "imagine_batches", imagine)
    sampler = SimpleNamespace(pipeline=SimpleNamespace(num_mask_slots=num_slots))
    with pytest.raises(AskedError) as asked:
        measure(sampler, folder, None, num_scenes=2, title="", **options)
    return asked.value.args[0]


@pytest.mark.parametrize("num_slots", [0, 1, 2, 3])
def test_a_model_is_asked_with_the_masks_of_its_slots(tmp_path, monkeypatch, num_slots):
    write_clips(tmp_path / "clips")
    record = read_records(tmp_path / "clips")[0]
    request = ask(tmp_path / "clips", num_slots, monkeypatch)[0]
    slots = (request.target_mask, request.actor_mask, *request.extra_masks)
    wanted = record.mask_names(max(1, num_slots))
    assert sum(mask is not None for mask in slots) == len(wanted)
    for mask, name in zip(slots, wanted, strict=False):
        np.testing.assert_array_equal(mask, read_mask(tmp_path / "clips", name))


def test_scenes_without_the_mask_of_a_slot_are_refused(tmp_path):
    write_clips(tmp_path / "clips")
    line = dataclasses.replace(read_records(tmp_path / "clips")[0], extra_mask_files=())
    (tmp_path / "clips" / METADATA_NAME).write_text(line.to_json() + "\n", encoding="utf-8")
    sampler = SimpleNamespace(pipeline=SimpleNamespace(num_mask_slots=3))
    with pytest.raises(InputError, match="masks for 3 slots, got no extra_mask_files"):
        measure(sampler, tmp_path / "clips", None, num_scenes=1, title="")
    line = dataclasses.replace(line, actor_mask_file=None)
    (tmp_path / "clips" / METADATA_NAME).write_text(line.to_json() + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="masks for 3 slots, got no actor_mask_file"):
        measure(sampler, tmp_path / "clips", None, num_scenes=1, title="")


def test_a_spoilt_mask_is_that_of_the_scene(tmp_path, monkeypatch):
    write_clips(tmp_path / "clips")
    exact = ask(tmp_path / "clips", 1, monkeypatch)
    shown = ask(tmp_path / "clips", 1, monkeypatch, change=spoil_target)
    for index, (before, after) in enumerate(zip(exact, shown, strict=True)):
        wanted = make_sloppy(before.target_mask, 0, index)
        np.testing.assert_array_equal(after.target_mask, wanted)
    assert any((a.target_mask != b.target_mask).any() for a, b in zip(exact, shown, strict=True))
