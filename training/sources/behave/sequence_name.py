"""What the name of a BEHAVE sequence says: the data set has no other text."""

from __future__ import annotations

import dataclasses
import re

__all__ = ["SequenceName", "detector_name"]

_NOUNS = {
    "boxlarge": "large box",
    "boxlong": "long box",
    "boxmedium": "medium-sized box",
    "boxsmall": "small box",
    "boxtiny": "tiny box",
    "chairblack": "black chair",
    "chairwood": "wooden chair",
    "plasticcontainer": "plastic container",
    "tablesmall": "small table",
    "tablesquare": "square table",
    "trashbin": "trash bin",
    "yogaball": "exercise ball",
    "yogamat": "yoga mat",
}
_CAPTIONS = {
    "back": "The person reaches for the {noun}, takes it and puts it on the back.",
    "hand": "The person reaches for the {noun} and picks it up with the hands.",
    "hug": "The person picks up the {noun} and hugs it.",
    "lean": "The person walks up to the {noun} and leans on it.",
    "lift": "The person bends down to the {noun} and lifts it up.",
    "liftreal": "The person bends down to the {noun} and lifts it up.",
    "move": "The person takes hold of the {noun} and moves it.",
    "play": "The person reaches for the {noun} and plays with it.",
    "ground": "The person takes hold of the {noun} and moves it over the ground.",
    "sit": "The person walks up to the {noun} and sits down on it.",
    "sitstand": "The person sits down on the {noun} and stands up again.",
    "typing": "The person reaches for the {noun} and types on it.",
}
_DEFAULT = "The person reaches for the {noun} and picks it up."
_NAME = re.compile(r"(Date\d+)_(Sub\d+)_([A-Za-z]+)((?:_[A-Za-z0-9]+)*)")


@dataclasses.dataclass(frozen=True)
class SequenceName:
    """A name such as `Date03_Sub04_yogaball_play2`.

    Args:
        text: The whole name.
        date: Which recording day, hence which calibration.
        target: Name of the object.
        action: What is done with it, or "".
    """

    text: str
    date: str
    target: str
    action: str

    @classmethod
    def parse(cls, text: str) -> SequenceName | None:
        """Read a name.

        Args:
            text: Of a folder or file.

        Returns:
            Its parts; None if it is no name of the data set.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        words = [re.sub(r"\d+$", "", word) for word in found[4].split("_")]
        action = next((word for word in words if word and word != "part"), "")
        return cls(text, found[1], found[3], action)

    @property
    def recorded_name(self) -> str:
        """Of the recording of which this is a part: registrations were split where they failed."""
        return re.sub(r"(?:_part)?\d+$", "", self.text)

    @property
    def caption(self) -> str:
        """Describe what happens in one sentence."""
        noun = _NOUNS.get(self.target, self.target)
        return _CAPTIONS.get(self.action, _DEFAULT).format(noun=noun)


def detector_name(target: str) -> str:
    """Name the folder that some frames use for an object: that of a detector's classes.

    Args:
        target: Name of the object in the data set.

    Returns:
        The same, or `chair` or `sports ball`.
    """
    return "chair" if "chair" in target else "sports ball" if "ball" in target else target
