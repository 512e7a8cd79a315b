"""The files of `config/accelerate`, and a run launched with one of them on CPUs."""

import json
import subprocess
import sys

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from tests.source_tree import ROOT
from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from training.engine import KINDS

FOLDER = ROOT / "config" / "accelerate"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_every_file_is_one_that_accelerate_and_the_engine_take(name):
    config = load_config_from_file(str(FOLDER / name))
    assert config.distributed_type in KINDS
    assert config.mixed_precision == "no", "the recipe says the precision"
    assert config.num_processes % config.num_machines == 0
    assert (config.num_machines == 2) == (name == "two_machines.yaml")


def test_the_commands_of_the_docs_name_files_and_flags_that_are_there():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if line.startswith("accelerate launch")]
    assert len(commands) >= 3
    for command in commands:
        words = command.partition(" #")[0].split()[2:]
        options = launch_command_parser().parse_args(words)
        assert (ROOT / options.config_file).is_file(), command


@pytest.mark.slow
def test_a_run_launched_with_the_file_shares_its_batch(tmp_path):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    # Two processes instead of four GPUs; the device of the run says that they are CPUs.
    command += [FOLDER / "ddp.yaml", "--num_processes", 2, "--main_process_port", 0]
    command += ["-m", "training.finetune", "debug_cpu", "--base", tmp_path / "base"]
    command += ["--clips", tmp_path / "clips", "--out", tmp_path / "adapter", "--device", "cpu"]
    command += ["--trackers", "none", "--set", "steps=2"]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # One line, of one process: two that wrote at once ended up in each other's lines.
    (result,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert json.loads(result)["num_processes"] == 2
    assert (tmp_path / "adapter" / "tavid_adapter.json").is_file()
