"""Who may import whom; read from the sources, and tried in fresh interpreters."""

import importlib.util
import subprocess
import sys

import pytest

from tests.source_tree import ROOT, list_files, list_imports, module_name, top_level

# Sources are read, and what runs does in fresh interpreters.
pytestmark = pytest.mark.no_cover

MODEL_STACK = {"torch", "diffusers", "transformers", "peft", "accelerate", "safetensors"}
EXTRAS = {"mujoco", "mediapipe", "segment_anything", "torchvision", "matplotlib"}
EXTRAS |= {"mcap", "rosbags", "zstandard", "tensorboard", "mink", "rerun", "pyarrow", "trimesh"}
EXTRAS |= {"bitsandbytes", "wandb"}

# The modules of tavid_core that hold or run a network; every other one needs only numpy, OpenCV.
WITH_MODEL = ("adapter", "attention", "lora_layout", "pipeline", "planner", "weights_file")
WITH_MODEL += ("lifting.body_fit", "lifting.detector", "model", "segment")

CORE = list_files("tavid_core")
NODES = list_files("tavid_ros")
TRAINING = list_files("training")


def is_with_model(path):
    """Whether a core module may import the model stack; planner_loading.py goes with planner.py."""
    name = module_name(path).removeprefix("tavid_core.")
    return any(name == owner or name.startswith((owner + "_", owner + ".")) for owner in WITH_MODEL)


def is_ros(name):
    """Whether an imported name belongs to ROS; `tavid` is the package of generated messages."""
    first = name.split(".")[0]
    ros_packages = {"rclpy", "launch", "launch_ros", "ament_index_python", "builtin_interfaces"}
    return first in ros_packages | {"tavid"} or first.endswith(("_msgs", "_srvs", "_interfaces"))


LIGHT = [path for path in CORE if not is_with_model(path)]


def find_imports(paths, *, forbidden, at_import_only=False):
    """By file, what it imports of the packages that it may not."""
    found = {}
    for path in paths:
        names = list_imports(path, at_import_only=at_import_only)
        wrong = {name for name in names if name.split(".")[0] in forbidden}
        if wrong:
            found[str(path)] = sorted(wrong)
    return found


def find_ros_imports(paths):
    found = {str(path): sorted(filter(is_ros, list_imports(path))) for path in paths}
    return {path: names for path, names in found.items() if names}


def test_the_finders_find(tmp_path, monkeypatch):
    module = tmp_path / "module.py"
    module.write_text(
        "import torch.nn\ndef f():\n    import training\n    from rclpy import node\n"
    )
    assert find_imports([module], forbidden={"training"}) == {str(module): ["training"]}
    assert find_imports([module], forbidden={"training"}, at_import_only=True) == {}
    assert find_imports([module], forbidden=MODEL_STACK, at_import_only=True) != {}
    assert find_ros_imports([module]) == {str(module): ["rclpy", "rclpy.node"]}


def test_core_knows_neither_ros_nor_training():
    others = {"tavid_ros", "training", "benchmarks", "tests"}
    assert find_imports(CORE, forbidden=others) == {}
    assert find_ros_imports(CORE) == {}


def test_light_core_modules_import_no_model():
    assert find_imports(LIGHT, forbidden=MODEL_STACK, at_import_only=True) == {}


def test_nodes_import_no_model_and_no_training():
    assert find_imports(NODES, forbidden={"training", "benchmarks", "tests"}) == {}
    assert find_imports(NODES, forbidden=MODEL_STACK, at_import_only=True) == {}


def test_training_builds_on_the_core_only():
    assert find_imports(TRAINING, forbidden={"tavid_ros", "benchmarks", "tests"}) == {}
    assert find_ros_imports(TRAINING) == {}


def test_extras_are_imported_where_used():
    everywhere = CORE + NODES + TRAINING
    assert find_imports(everywhere, forbidden=EXTRAS, at_import_only=True) == {}


def test_no_licence_of_smplx_comes_along():
    """Its code is not for commercial use; model files are read without it."""
    sources = CORE + NODES + TRAINING + list_files("benchmarks")
    assert not [path for path in sources if "smplx" in top_level(list_imports(path))]
    for name in ("pyproject.toml", "constraints.txt"):
        assert "smplx" not in (ROOT / name).read_text(encoding="utf-8")


def find_private(path):
    own = {"tavid_core", "tavid_ros", "training"}
    return sorted(
        name
        for name in list_imports(path)
        if name.split(".")[0] in own
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    )


def test_nobody_imports_a_private_name(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("from tavid_core.io import _write, load_plan\n")
    assert find_private(module) == ["tavid_core.io._write"]
    private = {str(path): find_private(path) for path in CORE + NODES + TRAINING}
    assert {path: names for path, names in private.items() if names} == {}


def test_parameters_are_declared_in_one_place():
    declaring = [path for path in NODES if "declare_parameter" in (ROOT / path).read_text("utf-8")]
    assert {path.name for path in declaring} == {"parameters.py"}


def test_worker_process_needs_no_ros():
    """The child process that runs the model must start, and crash, without DDS."""
    names = {"child_process.py", "worker_process.py", "worker_job.py"}
    worker_side = [path for path in NODES if path.name in names]
    assert worker_side
    for path in worker_side:
        assert not {name for name in list_imports(path) if is_ros(name)}, path


def test_launch_folder_is_no_package():
    assert not (ROOT / "launch" / "__init__.py").exists()


def import_in_fresh_interpreter(modules):
    """Import the modules one after the other, and return which heavy ones came along."""
    heavy = sorted(MODEL_STACK | EXTRAS)
    code = (
        f"import importlib, sys\n"
        f"[importlib.import_module(name) for name in {modules!r}]\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_light_core_imports_without_the_model_stack():
    names = [module_name(path) for path in LIGHT if path.name != "__main__.py"]
    assert import_in_fresh_interpreter(names) == "[]"


@pytest.mark.skipif(
    importlib.util.find_spec("rclpy") is None or importlib.util.find_spec("tavid") is None,
    reason="rclpy or the built interfaces are missing; `make test` has them",
)
def test_nodes_import_without_the_model_stack():
    # Only launch files import the one for them, and their system comes with ROS alone.
    without = {"__main__.py", "node_launch.py"}
    names = [module_name(path) for path in NODES if path.name not in without]
    assert import_in_fresh_interpreter(names) == "[]"
