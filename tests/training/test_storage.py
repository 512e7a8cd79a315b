"""A disk that is full while adapter, rollouts or trackers are written: a limit on file sizes."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tavid_core.errors import StorageError
from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from tests.training_worker import start_worker
from training.storage import storing
from training.validation import RATES_FILE, _append, read_last_rates

# Enough for the logs, too little for what is tried here.
FULL = 4096


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_pipeline().save_pretrained(folder / "base", safe_serialization=True)
    write_clips(folder / "clips")
    assert run(folder, "whole") == 0, (folder / "whole.log").read_text()
    return folder


def run(world, out, *flags, max_file_bytes=None):
    arguments = ["debug_cpu", "--base", world / "base", "--clips", world / "clips"]
    arguments += ["--out", world / out, "--cache", world / "latents", "--device", "cpu"]
    arguments += ["--set", "save_every=1000", *(flags or ["--trackers", "none"])]
    log = world / f"{out}.log"
    process = start_worker(arguments, log=log, max_file_bytes=max_file_bytes)
    process.join(timeout=120)
    return process.exitcode


def assert_told(world, out, what):
    told = (world / f"{out}.log").read_text()
    assert f"finetune: {what}" in told
    assert "File too large" in told
    assert "Free some space and run the same command again" in told


def test_the_adapter_is_written_when_there_is_space_again(world):
    weights = world / "whole" / "pytorch_lora_weights.safetensors"
    before = load_file(weights)
    for path in (world / "whole").iterdir():
        path.unlink()
    assert run(world, "whole", max_file_bytes=FULL) == 2
    assert_told(world, "whole", "adapter")
    assert not (world / "whole" / "tavid_adapter.json").exists()
    assert run(world, "whole") == 0
    after = load_file(weights)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_rollouts(world):
    flags = ["--validation-clips", world / "clips", "--validate-every", 1, "--num-validations", 1]
    flags += ["--validation-steps", 1, "--trackers", "none"]
    assert run(world, "shown", *flags, max_file_bytes=FULL) == 2
    assert_told(world, "shown", "rollouts")


def test_trackers(world):
    flags = ["--trackers", "tensorboard", "--set", "steps=60"]
    assert run(world, "tracked", *flags, max_file_bytes=FULL) == 2
    assert_told(world, "tracked", "tracker")


def test_rates_that_were_torn_are_passed_over(tmp_path):
    _append(tmp_path / RATES_FILE, {"step": 1})
    with (tmp_path / RATES_FILE).open("a") as file:
        file.write('{"step": 2, "targ')
    assert read_last_rates(tmp_path) == {"step": 1}
    _append(tmp_path / RATES_FILE, {"step": 2})
    assert read_last_rates(tmp_path) == {"step": 2}
    lines = (tmp_path / RATES_FILE).read_text().splitlines()
    assert json.loads(lines[-1]) == {"step": 2}
    with pytest.raises(StorageError, match=r"jsonl must be writable, got: .*Free some space"):
        _append(tmp_path / "none" / RATES_FILE, {"step": 1})


def test_other_errors_are_as_they_were():
    with pytest.raises(StorageError, match="its own words"), storing("file"):
        raise StorageError("its own words")
    with pytest.raises(ZeroDivisionError), storing("file"):
        1 / 0  # noqa: B018
