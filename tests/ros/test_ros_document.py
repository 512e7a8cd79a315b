"""docs/ros2.md says what the code says."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from tavid_core.errors import ErrorCode
from tests.ros.graph import wait_for
from tests.source_tree import ROOT

DOCUMENT = ROOT / "docs" / "ros2.md"
# What every ROS 2 node or lifecycle node has.
OF_EVERY_NODE = re.compile(
    r"(/rosout|/parameter_events|.*/transition_event|.*/get_type_description|.*/_action/.*"
    r"|.*/(get|set|list|describe)_parameter.*|.*/set_parameters_atomically"
    r"|.*/(change|get)(_available)?_(state|states|transitions)|.*/get_transition_graph"
    r"|.*/(get|set)_logger_levels)"
)


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("ros_tables", ROOT / "tools" / "ros_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code(tables):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == tables.insert_tables(text), (
        "run: .venv/bin/python tools/ros_env.py python tools/ros_tables.py"
    )


def test_every_error_code_has_a_meaning_and_advice(tables):
    assert set(tables.ADVICE) == set(ErrorCode)
    rows = tables.make_tables()["error_codes"].splitlines()[2:]
    assert len(rows) == len(ErrorCode)
    for row in rows:
        assert all(cell.strip() for cell in row.strip("|").split("|")), row


def test_a_document_without_places_is_refused(tables):
    with pytest.raises(ValueError, match="the document must have '<!-- planner_node:begin -->'"):
        tables.insert_tables("nothing")


def test_every_name_of_the_planner_is_in_the_document(graph):
    graph.start()
    node, namespace = graph.planner, graph.namespace
    text = DOCUMENT.read_text(encoding="utf-8")
    names = set()
    for list_names in (
        graph.node.get_publisher_names_and_types_by_node,
        graph.node.get_subscriber_names_and_types_by_node,
        graph.node.get_service_names_and_types_by_node,
    ):
        found = wait_for(lambda ask=list_names: ask(node.get_name(), namespace))
        names |= {name for name, _ in found if not OF_EVERY_NODE.fullmatch(name)}
    assert f"{namespace}/planner/refusal" in names
    for name in names:
        relative = name.removeprefix(f"{namespace}/")
        shown = relative.replace("planner/", "~/", 1) if relative != name else name
        assert f"`{shown}`" in text, f"{shown} is not in docs/ros2.md"


def test_links_lead_to_files():
    for link in re.findall(r"\]\(([^)#]+)\)", DOCUMENT.read_text(encoding="utf-8")):
        assert link.startswith("http") or (DOCUMENT.parent / link).exists(), link


def test_rosdoc2_finds_what_its_file_names():
    package = ElementTree.parse(ROOT / "package.xml")
    path = ROOT / package.findtext("export/rosdoc2")
    attic, document = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    assert (attic["type"], attic["version"]) == ("rosdoc2 config", 1)
    assert (ROOT / document["settings"]["python_source"] / "__init__.py").is_file()
    (builder,) = document["builders"]
    assert (ROOT / builder["sphinx"]["user_doc_dir"] / "ros2.md").is_file()
