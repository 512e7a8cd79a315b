"""What the README names exists."""

import dataclasses
import pathlib
import re

from tavid_core.errors import ErrorCode
from tavid_ros.parameters import PlannerParameters

README = pathlib.Path(__file__).parents[2] / "README.md"


def test_parameters_named_in_the_readme_exist():
    text = README.read_text(encoding="utf-8")
    table = re.search(r"\| parameter of planner_node \|.*?\n\n", text, re.DOTALL)
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table[0], re.M))))
    assert len(named) > 10
    assert named <= {field.name for field in dataclasses.fields(PlannerParameters)}


def test_error_codes_named_in_the_readme_exist():
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", text))
    assert named <= {code.name for code in ErrorCode}


def test_files_that_the_readme_links_to_exist():
    for path in re.findall(r"\]\(((?:docs|examples|config)/[^)#]+)", README.read_text("utf-8")):
        assert (README.parent / path).is_file(), path
