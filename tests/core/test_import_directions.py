"""Who may import whom; read from the sources, and tried in fresh interpreters."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import ROOT, list_files, list_imports, module_name, top_level

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


@pytest.mark.parametrize("path", CORE, ids=str)
def test_core_knows_neither_ros_nor_training(path):
    imported = list_imports(path)
    assert not top_level(imported) & {"tavid_ros", "training", "benchmarks", "tests"}
    assert not {name for name in imported if is_ros(name)}


@pytest.mark.parametrize("path", LIGHT, ids=str)
def test_light_core_modules_import_no_model(path):
    assert not top_level(list_imports(path, at_import_only=True)) & MODEL_STACK


@pytest.mark.parametrize("path", NODES, ids=str)
def test_nodes_import_no_model_and_no_training(path):
    assert not top_level(list_imports(path)) & {"training", "benchmarks", "tests"}
    assert not top_level(list_imports(path, at_import_only=True)) & MODEL_STACK


@pytest.mark.parametrize("path", TRAINING, ids=str)
def test_training_builds_on_the_core_only(path):
    imported = list_imports(path)
    assert not top_level(imported) & {"tavid_ros", "benchmarks", "tests"}
    assert not {name for name in imported if is_ros(name)}


@pytest.mark.parametrize("path", CORE + NODES + TRAINING, ids=str)
def test_extras_are_imported_where_used(path):
    assert not top_level(list_imports(path, at_import_only=True)) & EXTRAS


def test_no_licence_of_smplx_comes_along():
    """Its code is not for commercial use; model files are read without it."""
    sources = CORE + NODES + TRAINING + list_files("benchmarks")
    assert not [path for path in sources if "smplx" in top_level(list_imports(path))]
    for name in ("pyproject.toml", "constraints.txt"):
        assert "smplx" not in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CORE + NODES + TRAINING, ids=str)
def test_nobody_imports_a_private_name(path):
    own = {"tavid_core", "tavid_ros", "training"}
    private = {
        name
        for name in list_imports(path)
        if name.split(".")[0] in own
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    }
    assert not private


@pytest.mark.parametrize("path", list_files("tavid_ros"), ids=str)
def test_parameters_are_declared_in_one_place(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    if Path(path).name != "parameters.py":
        assert "declare_parameter" not in text


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
