"""The written rules of the house that a linter does not know."""

import ast
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.source_tree import PRODUCT, ROOT, list_files, list_imports, parse, top_level

# Sources are read, none of them runs.
pytestmark = pytest.mark.no_cover

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400

PRODUCT_FILES = list_files(*PRODUCT)
ALL_FILES = [*PRODUCT_FILES, *list_files("tests")]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def find_long_functions(tree):
    return [
        f"{node.name} at line {node.lineno}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, FUNCTION) and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]


def find_unsafe_calls(tree):
    """Calls that run text or pickles, or that go through a shell."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        is_unsafe = (
            name in {"eval", "exec", "os.system", "os.popen", "yaml.load", "marshal.loads"}
            or name.split(".")[0] in {"pickle", "cPickle", "dill", "joblib"}
            or options.get("shell", "False") != "False"
            or options.get("allow_pickle", "False") != "False"
            or (name == "torch.load" and options.get("weights_only") != "True")
        )
        if is_unsafe:
            found.append(f"{name} at line {node.lineno}")
    return found


def find_undocumented(tree):
    """Public classes, functions and methods without a docstring."""
    found = [] if ast.get_docstring(tree) else ["the module"]
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for scope in scopes:
        if isinstance(scope, ast.ClassDef) and scope.name.startswith("_"):
            continue
        for node in scope.body:
            is_definition = isinstance(node, (*FUNCTION, ast.ClassDef))
            if is_definition and not node.name.startswith("_") and not ast.get_docstring(node):
                is_overload = any("overload" in ast.unparse(d) for d in node.decorator_list)
                found += [] if is_overload else [f"{node.name} at line {node.lineno}"]
    return found


def find_everywhere(finder, paths):
    """What a finder finds, by file: one test per rule tells all of it and costs no time."""
    return {str(path): found for path in paths if (found := finder(parse(path)))}


def read_text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def test_files_stay_short():
    lengths = {str(path): len(read_text(path).splitlines()) for path in ALL_FILES}
    assert len(lengths) > 500
    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_stay_short():
    assert find_everywhere(find_long_functions, ALL_FILES) == {}


def test_nothing_runs_text_or_pickles():
    assert find_everywhere(find_unsafe_calls, PRODUCT_FILES) == {}


def test_public_names_are_documented():
    assert find_everywhere(find_undocumented, PRODUCT_FILES) == {}


def test_nothing_is_left_for_later():
    later = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [str(path) for path in PRODUCT_FILES if later.search(read_text(path))] == []


@pytest.mark.parametrize(
    ("source", "finder"),
    [
        ("def f():\n" + "    x = 1\n" * 60, find_long_functions),
        ("eval('1')", find_unsafe_calls),
        ("subprocess.run('ls', shell=True)", find_unsafe_calls),
        ("torch.load(path)", find_unsafe_calls),
        ("torch.load(path, weights_only=False)", find_unsafe_calls),
        ("np.load(path, allow_pickle=True)", find_unsafe_calls),
        ("pickle.loads(data)", find_unsafe_calls),
        ('"""A module."""\ndef f(): pass', find_undocumented),
        ('"""A module."""\nclass A:\n    """A."""\n    def f(self): pass', find_undocumented),
    ],
)
def test_the_finders_find(source, finder):
    assert len(finder(ast.parse(source))) == 1


def read_versions():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return {
        "CHANGELOG.md": re.search(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE).group(1),
        "pyproject.toml": re.search(r'^version = "(.+)"', project, re.MULTILINE).group(1),
        "package.xml": ElementTree.parse(ROOT / "package.xml").findtext("version"),
    }


def test_versions_agree():
    versions = read_versions()
    assert len(set(versions.values())) == 1, versions


def test_package_xml_names_every_ros_import():
    """A message package that is imported but not declared breaks on a robot, not here."""
    declared = {
        element.text
        for element in ElementTree.parse(ROOT / "package.xml").getroot()
        if element.tag in {"depend", "exec_depend"}
    }
    imported = set()
    for path in list_files("tavid_ros", "launch"):
        imported |= top_level(list_imports(path))
    is_ros = re.compile(
        r"rclpy|launch|launch_ros|ament_index_python|.*_msgs|.*_srvs|.*_interfaces|tf2_ros"
    )
    missing = {name for name in imported if is_ros.fullmatch(name)} - declared
    assert not missing
    unused = {name for name in declared if name.endswith(("_msgs", "_srvs"))} - imported
    assert unused <= {"action_msgs"}, unused


def test_constraints_pin_every_package_exactly():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    pin = re.compile(r'[a-z0-9-]+==[A-Za-z0-9.]+(; python_version (<|>=) "3\.\d+")?')
    assert [line for line in pins if not pin.fullmatch(line)] == []
    assert len(pins) == len(set(pins))


def test_every_requirement_is_pinned():
    """What pyproject.toml and the wheel list ask for is in constraints.txt."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9-]+)==", constraints, re.MULTILINE))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[tool.")[0]
    asked = set(re.findall(r'"([a-z0-9-]+)(?:\[\w+\])?(?:>=|==)', project))
    wheels = (ROOT / "tools" / "ros_wheels.txt").read_text(encoding="utf-8").splitlines()
    asked |= {line.split("[")[0] for line in wheels if line and not line.startswith("#")}
    assert asked - pinned <= {"mediapipe"}
