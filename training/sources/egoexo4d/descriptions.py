"""Atomic descriptions: one sentence at one moment, such as "C picks up the bowl"."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from training.sources.field_values import is_number

__all__ = ["Description", "match_object", "parse_descriptions", "write_caption"]

CONTACT_VERBS = (
    "carry catch close drag flip get grab grasp grip hold lift move open pick pluck press pull "
    "push raise reach remove retrieve roll rotate shake slide squeeze take tap tilt touch "
    "turn twist"
)
_FORMS = {
    form
    for verb in CONTACT_VERBS.split(" ")
    for form in (verb, f"{verb}s", f"{verb}es", verb[:-1] + "ies" if verb.endswith("y") else verb)
}
MAX_CHARACTERS = 1000
MAX_TIME_SEC = 1e6


@dataclasses.dataclass(frozen=True)
class Description:
    """A sentence about a touch.

    Args:
        text: As it was written, "C" for the person.
        time_sec: Seconds from the start of the take.
        camera: The exo camera that sees it best; None if nobody said.
    """

    text: str
    time_sec: float
    camera: str | None


def parse_descriptions(passes: Any, *, default_camera: str | None = None) -> Iterator[Description]:
    """Choose the sentences that tell of a touch.

    Args:
        passes: `annotations[take_uid]`: passes of annotators, each with `descriptions`.
        default_camera: `best_exo` of the take, for sentences without; null where nobody said.

    Yields:
        Those of the wearer ("C"), of which the annotator was sure, with a verb of contact.
    """
    for one in passes if isinstance(passes, list) else []:
        if not isinstance(one, Mapping) or one.get("rejected") is True:
            continue
        sentences = one.get("descriptions")
        for fields in sentences if isinstance(sentences, list) else []:
            found = _read(fields, default_camera) if isinstance(fields, Mapping) else None
            if found is not None:
                yield found


def _read(fields: Mapping[str, Any], default_camera: str | None) -> Description | None:
    text, time = fields.get("text"), fields.get("timestamp")
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_CHARACTERS:
        return None
    if not is_number(time, MAX_TIME_SEC) or time < 0:
        return None
    if fields.get("unsure") is not False or fields.get("subject") != "C":
        return None
    if not _FORMS & set(_words(text)):
        return None
    camera = fields.get("best_exo")
    if isinstance(camera, Mapping):
        camera = camera.get("cam_id")
    known = (name for name in (camera, default_camera) if isinstance(name, str) and name)
    return Description(text.strip(), float(time), next(known, None))


def write_caption(text: str) -> str:
    """Turn a description into a caption.

    Args:
        text: With "C" for the person and "O" for another one.

    Returns:
        One sentence.
    """
    named = re.sub(r"\bC\b", "the person", text.strip())
    named = re.sub(r"\bO\b", "another person", named).rstrip(" .")
    return f"{named[:1].upper()}{named[1:]}."


def match_object(text: str, names: Collection[str]) -> str | None:
    """Find which annotated object a sentence names.

    Args:
        text: The sentence.
        names: Such as `metal bowl_0`.

    Returns:
        The one whose noun stands in the sentence and most of whose other words do; None if none.
    """
    said = {_stem(word) for word in _words(text)}
    ranked = []
    for name in sorted(names):
        words = [_stem(word) for word in _words(re.sub(r"_\d+$", "", name))]
        if words and words[-1] in said:
            num_said = sum(word in said for word in words)
            ranked.append((-num_said, len(words) - num_said, name))
    return min(ranked)[2] if ranked else None


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _stem(word: str) -> str:
    for ending, instead in (
        ("ies", "y"),
        ("ves", "f"),
        ("fe", "f"),
        ("sses", "ss"),
        ("ches", "ch"),
    ):
        if word.endswith(ending):
            return word[: -len(ending)] + instead
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
