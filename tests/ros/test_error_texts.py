"""What an error text tells people to set or look at exists under that name."""

from __future__ import annotations

import ast
import dataclasses
import re

import pytest
from tavid.action import PlanInteraction
from tavid.srv import SegmentTarget

from tavid_core.types import PlanRequest
from tavid_ros import parameters, recorder_parameters
from tests.source_tree import ROOT, list_files, parse

WORD = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")
# "Set image_reliability to", "or raise watchdog_sec", "it was restarted; raise x".
ADVICE = re.compile(r"\b(?:[Ss]et|[Rr]aise|[Ll]ower|[Cc]hange)\s+([a-z]+(?:_[a-z0-9]+)+)\b")
TYPES = (
    parameters.PlannerParameters,
    parameters.SegmenterParameters,
    parameters.CameraParameters,
    recorder_parameters.RecorderParameters,
)
PARAMETERS = {field.name for kind in TYPES for field in dataclasses.fields(kind)}
ARGUMENTS = {"params_file"}
FIELDS = {
    name
    for message in (PlanInteraction.Goal, PlanInteraction.Result, SegmentTarget.Request)
    for name in message.get_fields_and_field_types()
} | {field.name for field in dataclasses.fields(PlanRequest)}
PROGRAMS = {path.stem for path in list_files("tavid_ros")} | {"tavid_ros", "tavid_core"}
CHOICES = {
    choice
    for kind in TYPES
    for field in dataclasses.fields(kind)
    for choice in field.metadata["choices"]
}
# Topics, services, files, columns of files, public functions, and programs of others.
OTHERS = {
    "binarize_mask",
    "camera_calibration",
    "camera_info",
    "contact_sec",
    "fastdds_profile",
    "get_available_transitions",
    "image_proc",
    "image_rect",
    "image_transport",
    "keep_alive",
    "no_actor",
    "plan_async",
    "request_plan",
    "target_mask",
    "tf_static",
}
SCENES = {path.name for path in (ROOT / "tavid_core" / "assets" / "scenes").iterdir()}
KNOWN = SCENES | PARAMETERS | ARGUMENTS | FIELDS | PROGRAMS | CHOICES | OTHERS


def is_words(part: ast.expr) -> bool:
    """Whether a part of an f-string is fixed."""
    return isinstance(part, ast.Constant) and isinstance(part.value, str)


def list_texts(tree: ast.Module) -> list[str]:
    """Everything a module can say in more than one word, without its docstrings."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, scopes) and isinstance(node.body[0], ast.Expr)
    }
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (
                str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values
            )
            texts.append("".join(parts))
        elif is_words(node):
            texts += [] if id(node) in docstrings else [node.value]
    return [text for text in texts if " " in text]


@pytest.mark.parametrize("path", list_files("tavid_ros", "launch"), ids=str)
def test_names_in_texts_exist(path):
    for text in list_texts(parse(path)):
        assert set(WORD.findall(text)) <= KNOWN, text


@pytest.mark.parametrize("path", list_files("tavid_ros", "launch"), ids=str)
def test_what_people_are_told_to_set_can_be_set(path):
    for text in list_texts(parse(path)):
        assert set(ADVICE.findall(text)) <= PARAMETERS | ARGUMENTS | FIELDS, text


def test_wrong_names_are_found():
    text = list_texts(ast.parse('x = f"it took {t} s. Raise step_limit_sec, or click again."'))[0]
    assert ADVICE.findall(text) == WORD.findall(text) == ["step_limit_sec"]
    assert not {"step_limit_sec"} & KNOWN


def test_other_names_are_still_in_use():
    every = " ".join(
        text for path in list_files("tavid_ros", "launch") for text in list_texts(parse(path))
    )
    assert {word for word in OTHERS if word not in every} == set()
    assert (ROOT / "config" / "fastdds_profile.xml").is_file()
