"""Runs that are killed, told to stop, out of disk, or spread over two processes."""

import json
import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from tests.training_worker import run_pair, start_worker

STEPS = 12
# Float32, because bit equality and 1e-5 are asked of it.
SETTINGS = ("precision=float32", f"steps={STEPS}", "save_every=2", "batch_size=4")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_pipeline().save_pretrained(folder / "base", safe_serialization=True)
    write_clips(folder / "clips")
    return folder


def words(world, out, *settings):
    arguments = ["debug_cpu", "--base", world / "base", "--clips", world / "clips", "--out", out]
    arguments += ["--device", "cpu", "--trackers", "none"]
    for setting in (*SETTINGS, *settings):
        arguments += ["--set", setting]
    return arguments


@pytest.fixture(scope="module")
def unbroken(world):
    process = start_worker(words(world, world / "whole"), log=world / "whole.log")
    process.join(timeout=120)
    assert process.exitcode == 0, (world / "whole.log").read_text()
    return world / "whole"


def end_by_signal(world, out, number, step, *settings, delay_sec=0.0):
    """Run until a signal ends it, and give its status."""
    run_folder, log = world / f"{out}_run", world / f"{out}.log"
    after = (run_folder, step, delay_sec, number)
    process = start_worker(words(world, world / out, *settings), log=log, signal_after=after)
    process.join(timeout=120)
    return process.exitcode


def newest_weights(run_folder):
    return load_file(max(run_folder.glob("step_*")) / "weights.safetensors")


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_killed_four_times_a_run_ends_with_the_same_bits(world, unbroken):
    draw = random.Random(7)
    out, run_folder = world / "killed", world / "killed_run"
    # A killed run loses what it did after its last checkpoint, and the next one does it again.
    for step in sorted(draw.sample(range(1, STEPS - 3), 4)):
        delay_sec = draw.uniform(0.0, 0.03)
        status = end_by_signal(world, "killed", signal.SIGKILL, step, delay_sec=delay_sec)
        assert status == -signal.SIGKILL, (world / "killed.log").read_text()
    process = start_worker(words(world, out), log=world / "killed.log")
    process.join(timeout=120)
    assert process.exitcode == 0, (world / "killed.log").read_text()
    assert_equal(newest_weights(run_folder), newest_weights(world / "whole_run"))
    for name in ("pytorch_lora_weights.safetensors", "patch_embed.safetensors"):
        assert_equal(load_file(out / name), load_file(unbroken / name))
    lines = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(STEPS))
    whole = (world / "whole_run" / "log.jsonl").read_text().splitlines()
    assert lines == [json.loads(line) for line in whole]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_an_error(world, unbroken, number):
    name = f"stopped_{int(number)}"
    out, run_folder, log = world / name, world / f"{name}_run", world / f"{name}.log"
    started = time.monotonic()
    assert end_by_signal(world, name, number, 3, "save_every=1000") == 143, log.read_text()
    assert time.monotonic() - started < 30, "start included"
    assert "It is saved; run the same command again to go on." in log.read_text()
    assert not out.exists()
    assert 3 <= int(max(run_folder.glob("step_*")).name.removeprefix("step_")) < STEPS
    arguments = words(world, out, "save_every=1000")
    process = start_worker([*arguments, "--resume"], log=log)
    process.join(timeout=120)
    assert process.exitcode == 0
    assert_equal(newest_weights(run_folder), newest_weights(world / "whole_run"))


def test_a_full_disk_is_told_and_the_old_checkpoint_is_intact(world, unbroken):
    out, run_folder, log = world / "full", world / "full_run", world / "full.log"
    assert end_by_signal(world, "full", signal.SIGKILL, 3) == -signal.SIGKILL
    before = newest_weights(run_folder)
    # Enough for the logs, too little for the weights.
    size = max(run_folder.glob("step_*")).joinpath("weights.safetensors").stat().st_size
    process = start_worker(words(world, out), log=log, max_file_bytes=size // 2)
    process.join(timeout=120)
    assert process.exitcode == 2
    assert "finetune: checkpoint of step" in log.read_text()
    assert "File too large" in log.read_text()
    assert not list(run_folder.glob(".step_*"))
    assert_equal(newest_weights(run_folder), before)
    process = start_worker(words(world, out), log=log)
    process.join(timeout=120)
    assert process.exitcode == 0
    assert_equal(newest_weights(run_folder), newest_weights(world / "whole_run"))


@pytest.mark.parametrize("micro_batch_size", [2, 1])
def test_two_processes_give_the_weights_of_one(world, unbroken, micro_batch_size):
    out = world / f"pair_{micro_batch_size}"
    log = world / f"pair_{micro_batch_size}.log"
    arguments = words(world, out, f"micro_batch_size={micro_batch_size}")
    assert run_pair(arguments, log) == [0, 0], log.with_name(log.name + ".0").read_text()
    pair = newest_weights(world / f"pair_{micro_batch_size}_run")
    whole = newest_weights(world / "whole_run")
    assert pair.keys() == whole.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(pair[name], tensor, rtol=0, atol=1e-5)
    logs = [log.with_name(f"{log.name}.{rank}").read_text() for rank in range(2)]
    assert ['"num_processes"' in text for text in logs] == [True, False]
    result = json.loads(logs[0].splitlines()[-1])
    assert (result["steps"], result["num_processes"]) == (STEPS, 2)


def test_a_signal_to_one_of_two_processes_stops_both(world, unbroken):
    """Between micro-batches, at the same one, or the other would wait for it for ever."""
    out, run_folder, log = world / "halted", world / "halted_run", world / "halted.log"
    arguments = words(world, out, "micro_batch_size=1", "save_every=1000")
    after = (run_folder, 3, 0.0, signal.SIGTERM)
    assert run_pair(arguments, log, signal_after=after) == [143, 143]
    assert [path.name for path in run_folder.glob("step_*")] != []
    assert run_pair([*arguments, "--resume"], log) == [0, 0]
    pair, whole = newest_weights(run_folder), newest_weights(world / "whole_run")
    for name, tensor in whole.items():
        torch.testing.assert_close(pair[name], tensor, rtol=0, atol=1e-5)


def test_a_run_goes_on_in_two_processes_that_hold_half_the_weights_each(world, unbroken):
    """FSDP; the checkpoint of one process is theirs too, and the other way round."""
    out, run_folder, log = world / "sharded", world / "sharded_run", world / "sharded.log"
    arguments = words(world, out, "micro_batch_size=1")
    assert end_by_signal(world, "sharded", signal.SIGKILL, 5) == -signal.SIGKILL
    # Rollouts in between use the weights as they are spread.
    arguments += ["--validation-clips", world / "clips", "--num-validations", 1]
    arguments += ["--validation-steps", 1]
    status = run_pair(arguments, log, ACCELERATE_USE_FSDP="true")
    assert status == [0, 0], log.with_name(log.name + ".0").read_text()
    result = json.loads(log.with_name(log.name + ".0").read_text().splitlines()[-1])
    assert result["num_processes"] == 2
    assert 4 <= result["resumed_from"] < STEPS
    assert (run_folder / "validation" / f"step_{STEPS:07d}" / "000.mp4").is_file()
    sharded, whole = newest_weights(run_folder), newest_weights(world / "whole_run")
    assert {name: value.shape for name, value in sharded.items()} == {
        name: value.shape for name, value in whole.items()
    }
    for name, tensor in whole.items():
        torch.testing.assert_close(sharded[name], tensor, rtol=0, atol=1e-5)
    for name in ("pytorch_lora_weights.safetensors", "patch_embed.safetensors"):
        ours, theirs = load_file(out / name), load_file(unbroken / name)
        assert ours.keys() == theirs.keys()
        assert all((ours[key] - theirs[key]).abs().max() < 1e-3 for key in ours)


def test_a_base_in_half_precision_is_trained_in_two_parts(world):
    """As by the 5B recipes: frozen weights in bfloat16, checkpointed blocks, LoRA in float32."""
    settings = ("base_dtype=bfloat16", "precision=bfloat16", "steps=3")
    settings += ("gradient_checkpointing=true",)
    whole, parts = world / "half_whole", world / "half_parts"
    process = start_worker(words(world, whole, *settings), log=world / "half_whole.log")
    process.join(timeout=120)
    assert process.exitcode == 0, (world / "half_whole.log").read_text()
    log = world / "half_parts.log"
    arguments = words(world, parts, *settings, "micro_batch_size=1")
    status = run_pair(arguments, log, ACCELERATE_USE_FSDP="true")
    assert status == [0, 0], log.with_name(log.name + ".0").read_text()
    for name in ("pytorch_lora_weights.safetensors", "patch_embed.safetensors"):
        ours, theirs = load_file(parts / name), load_file(whole / name)
        assert {key: value.dtype for key, value in ours.items()} == {
            key: value.dtype for key, value in theirs.items()
        }
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=0, atol=5e-3)


def test_token_rows_are_not_trained_where_weights_are_sharded(world):
    """It trained to the end, and could not write what it had trained."""
    log = world / "rows.log"
    arguments = words(world, world / "rows", "slot_words=[TGT]", "added_tokens=true")
    arguments += ["--set", "train_tokens=true"]
    assert run_pair(arguments, log, ACCELERATE_USE_FSDP="true") == [2, 2]
    assert (
        "train_tokens must be false where weights are sharded"
        in log.with_name(log.name + ".0").read_text()
    )
