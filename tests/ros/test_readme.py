"""The README's tables say what the code says."""

import dataclasses
import pathlib
import re

from tavid_core.errors import ErrorCode
from tavid_ros.parameters import CameraParameters, PlannerParameters, SegmenterParameters

README = pathlib.Path(__file__).parents[2] / "README.md"


def parameter_table(parameters_type):
    """Write the table that the README must hold."""
    rows = ["| parameter | default | what |", "|---|---|---|"]
    for field in dataclasses.fields(parameters_type):
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        shown = f"`{default}`" if default != "" else "empty"
        rows.append(f"| `{field.name}` | {shown} | {field.metadata['description']} |")
    return "\n".join(rows)


def test_the_parameters_are_listed_as_they_are():
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- parameters:begin -->\n(.*?)<!-- parameters:end -->", text, re.DOTALL)
    wanted = "\n\n".join(
        f"{name}:\n\n{parameter_table(kind)}"
        for name, kind in (
            ("planner_node", PlannerParameters),
            ("segmenter_node", SegmenterParameters),
            ("camera_node", CameraParameters),
        )
    )
    assert found, "README.md must have the markers around the parameters"
    assert found.group(1).strip() == wanted, f"put this between the markers:\n\n{wanted}\n"


def test_error_codes_named_in_the_readme_exist():
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text))
    assert named <= {code.name for code in ErrorCode}


def test_pictures_of_the_readme_exist():
    for path in re.findall(r"\]\((docs/[^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / path).is_file(), path
