"""Packed texts and run lengths: equal to the packages that write them, and safe on any text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pycocotools import mask as coco

from tavid_core.errors import InputError
from tests.training.sources.published_egoexo4d import ALPHABET, pack_text
from training.sources.egoexo4d.lz_string import unpack_text
from training.sources.egoexo4d.take import decode_mask
from training.sources.run_lengths import decode_run_lengths

# Packed by the package lzstring 1.0.4, a port of the original.
TEXTS = json.loads((Path(__file__).parent / "lz_texts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_texts_of_the_original(number):
    assert unpack_text(TEXTS[number]["packed"]) == TEXTS[number]["text"]


def test_a_plus_sign_may_have_become_a_space():
    packed = next(row for row in TEXTS if "+" in row["packed"])
    assert unpack_text(packed["packed"].replace("+", " ")) == packed["text"]


@given(text=st.text(st.characters(max_codepoint=255), max_size=200))
def test_spelt_out_texts_come_back(text):
    assert unpack_text(pack_text(text)) == text


@given(packed=st.text(ALPHABET, max_size=100) | st.text(max_size=20))
def test_any_text_unpacks_or_is_refused(packed):
    try:
        assert isinstance(unpack_text(packed), str)
    except InputError as refused:
        assert "encodedMask must be a packed text" in str(refused)  # noqa: PT017


def test_cut_off_texts_are_refused():
    packed = TEXTS[-1]["packed"]
    for size in range(1, len(packed) - 2, 37):
        with pytest.raises(InputError, match="ends too soon"):
            unpack_text(packed[:size])


@given(mask=st_numpy.arrays(bool, st_numpy.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_runs_of_coco_come_back(mask):
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")
    assert (decode_run_lengths(counts, mask.shape) == mask).all()


def test_large_masks_come_back():
    generator = np.random.default_rng(0)
    mask = generator.random((2160, 3840)) > 0.999
    mask[300:1500, 700:3000] = True
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode("ascii")
    assert (decode_run_lengths(counts, mask.shape) == mask).all()


@given(
    text=st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=30)
    | st.text(max_size=10)
)
def test_any_runs_are_a_mask_or_refused(text):
    try:
        assert decode_run_lengths(text, (5, 7)).shape == (5, 7)
    except InputError as refused:
        assert "mask must be run lengths" in str(refused)  # noqa: PT017


@pytest.mark.parametrize("size_hw", [(0, 5), (-1, 5), (100_000, 100_000)])
def test_impossible_sizes_are_refused(size_hw):
    with pytest.raises(InputError, match="mask size must be 1 to"):
        decode_run_lengths("0", size_hw)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        (None, "must hold encodedMask"),
        ({"width": 4, "height": 4}, "must hold encodedMask"),
        ({"width": "4", "height": 4, "encodedMask": "Q"}, "must hold width and height"),
        ({"width": 4, "height": 4, "encodedMask": pack_text("@0")}, "do not fill 4x4"),
    ],
)
def test_damaged_masks_are_refused(fields, match):
    with pytest.raises(InputError, match=match):
        decode_mask(fields, (4, 4), "cup_0")
