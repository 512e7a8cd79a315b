"""Fine-tuning on a CUDA device: the tests of the CPU, and what only a card can show."""

import json
import math

import pytest

from tests.tiny import make_pipeline
from tests.training_clips import write_clips
from training.finetune import main


def train(folder, name, *settings):
    arguments = ["debug_cpu", "--base", folder / "base", "--clips", folder / "clips"]
    arguments += ["--out", folder / name, "--device", "cuda", "--trackers", "none"]
    for setting in settings:
        arguments += ["--set", setting]
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "settings",
    [
        ["precision=float32"],
        ["base_dtype=bfloat16", "micro_batch_size=1", "gradient_checkpointing=true"],
        ["slot_words=[TGT]", "added_tokens=true", "train_tokens=true"],
    ],
)
def test_a_run_on_the_card_learns_what_one_on_the_cpu_does(tmp_path, capsys, settings):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips")
    assert train(tmp_path, "adapter", *settings) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert math.isfinite(result["loss"])
    assert result["peak_memory_gib"] < 4, "of the card, not of the process"
    # The samples are drawn on the CPU, so that the first loss is the same on every device.
    words = ["--out", str(tmp_path / "on_cpu"), "--device", "cpu"]
    arguments = ["debug_cpu", "--base", str(tmp_path / "base"), "--clips", str(tmp_path / "clips")]
    sets = [word for setting in settings for word in ("--set", setting)]
    assert main([*arguments, *words, "--trackers", "none", *sets]) == 0
    first = [
        json.loads((tmp_path / f"{name}_run" / "log.jsonl").read_text().splitlines()[0])["loss"]
        for name in ("adapter", "on_cpu")
    ]
    assert first[0] == pytest.approx(first[1], rel=0.02)


def test_states_of_8_bits_go_on_where_they_stopped(tmp_path, capsys):
    pytest.importorskip("bitsandbytes", reason="needs pip install 'tavid[bnb]'")
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips")
    # Ranks that make matrices of 4,096 numbers, below which bitsandbytes takes 32 bits.
    settings = ["optimizer=adamw8bit", "lora_rank=128", "schedule=constant", "ema_decay=0"]
    assert train(tmp_path, "whole", *settings, "steps=4") == 0
    assert train(tmp_path, "parts", *settings, "steps=2") == 0
    assert train(tmp_path, "parts", *settings, "steps=4") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["resumed_from"] == 2
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / f"{name}_run" / "log.jsonl").open()]
        for name in ("whole", "parts")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
