"""The whole fine-tuning path at tiny size: base, clips, adapter, and the planner that loads it."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tavid_core.adapter import load_adapter
from tavid_core.errors import ConfigError
from tavid_core.pipeline import TargetAwarePipeline
from tests.tiny import HEIGHT, WIDTH, make_image, make_mask, make_pipeline
from tests.training_clips import write_clips
from training.clips import METADATA_NAME
from training.finetune import main
from training.finetune_config import with_settings
from training.recipes import RECIPES


@pytest.fixture
def run(tmp_path):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips")

    def start(*settings, flags=()):
        arguments = ["debug_cpu", "--base", tmp_path / "base", "--clips", tmp_path / "clips"]
        arguments += ["--out", tmp_path / "adapter"]
        for setting in settings:
            arguments += ["--set", setting]
        return main([str(a) for a in [*arguments, *flags]])

    start.folder = tmp_path
    return start


def test_it_writes_an_adapter_that_changes_what_the_base_says(run, capsys):
    assert run() == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 4
    base = TargetAwarePipeline.from_pretrained(run.folder / "base")
    base.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 2, "guidance_scale": 1.0, "output_type": "pt"}
    image = torch.from_numpy(make_image(1)).permute(2, 0, 1)[None].float() / 127.5 - 1

    def imagine(pipeline, **more):
        generator = torch.Generator().manual_seed(0)
        return pipeline(image, "A person", generator=generator, **options, **more).frames

    plain = imagine(base)
    manifest = load_adapter(base, run.folder / "adapter")
    assert (manifest.num_mask_slots, manifest.lora_rank, manifest.training_step) == (1, 4, 4)
    left, right = (imagine(base, masks=[make_mask(left=side)[None]]) for side in (True, False))
    assert not torch.equal(plain, left)
    assert not torch.equal(left, right)


def test_a_base_that_cannot_be_loaded_is_named(run, capsys):
    assert run(flags=["--base", str(run.folder / "nowhere")]) == 2
    assert "finetune: model must be 'mini', a folder or a Hub id" in capsys.readouterr().err
    weights = run.folder / "base" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert run() == 2
    assert "must be a whole CogVideoX folder" in capsys.readouterr().err
    assert not (run.folder / "adapter").exists()


def test_the_shipped_model_is_known_by_its_name(capsys):
    assert main(["mini", "--base", "mini", "--start-from", "default", "--dry-run"]) == 0
    assert "2 of blocks 1 to 4" in capsys.readouterr().out


def test_without_the_attention_loss_it_runs_too(run):
    assert run("attention_weight=0") == 0
    lines = (run.folder / "adapter_run" / "log.jsonl").read_text().splitlines()
    assert all("attention" not in json.loads(line) for line in lines)


@pytest.mark.parametrize(
    "settings",
    [
        ["attention_direction=t2v", "map_normalization=none", "sentence_position=append"],
        ["block_choice=uniform", "num_blocks_per_step=2", "map_normalization=batch_min_max"],
        ["num_noisy_images=2", "block_choice=all", "gradient_checkpointing=true"],
        ["condition_dropout=0.5", "micro_batch_size=1"],
        ["slot_words=target,source", "sentence=The {actor} interacts with {target} object."],
        ["slot_words=target,source,box", "sentence=The {actor} puts {target} on {slot_3} ."],
    ],
)
def test_every_variant_of_the_method_trains(run, settings):
    assert run("steps=2", *settings) == 0
    manifest = load_adapter(
        TargetAwarePipeline.from_pretrained(run.folder / "base"), run.folder / "adapter"
    )
    words = settings[0].removeprefix("slot_words=").split(",") if "slot" in settings[0] else [""]
    assert manifest.prompt.num_slots == len(words)
    assert manifest.attention_direction == ("t2v" if "t2v" in settings[0] else "v2t")


def test_without_mask_the_channel_learns_nothing(run):
    assert run("use_mask=false", "attention_weight=0") == 0
    weight = load_file(run.folder / "adapter" / "patch_embed.safetensors")["weight"]
    assert (weight[:, -1] == 0).all()
    assert run.folder.joinpath("adapter_run/log.jsonl").exists()


def test_sloppy_masks_change_the_training_and_in_the_same_way_each_time(run):
    weights = []
    for name, setting in (("a", "true"), ("b", "true"), ("c", "false")):
        out = run.folder / name
        assert run("steps=2", f"sloppy_masks={setting}", flags=["--out", out]) == 0
        weights.append(load_file(out / "patch_embed.safetensors")["weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_attention_loss_may_have_the_sloppy_masks_too(run):
    """Else rows with the loss learn from exact masks that a row without it never sees."""
    losses = []
    for name, setting in (("exact", "false"), ("sloppy", "true")):
        flags = ["--out", run.folder / name]
        assert run("steps=8", "sloppy_masks=true", f"sloppy_loss_masks={setting}", flags=flags) == 0
        lines = (run.folder / f"{name}_run/log.jsonl").read_text().splitlines()
        losses.append([json.loads(line) for line in lines])
    exact, sloppy = next(
        pair for pair in zip(*losses, strict=True) if pair[0]["attention"] != pair[1]["attention"]
    )
    # So far the weights are the same, and they are shown the same masks.
    assert sloppy["diffusion"] == exact["diffusion"]
    assert run("sloppy_loss_masks=true") == 2


def test_bad_clips_are_all_named_before_training_and_can_be_skipped(run, capsys):
    clips = run.folder / "clips"
    (clips / "clips/0.mp4").unlink()
    cv2.imwrite(str(clips / "masks/2.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    assert run() == 2
    told = capsys.readouterr().err
    assert "got 2 of 3 that are not" in told
    assert "line 1 clips/0.mp4: the video is missing" in told
    assert "line 3 clips/2.mp4: the mask is empty" in told
    assert not (run.folder / "adapter_run").exists()
    assert run(flags=["--skip-bad"]) == 0
    assert "2 problems, 1 clips are left" in capsys.readouterr().err


def test_base_stored_in_half_precision_trains_too(run):
    """As the shipped one is; its text encoder used to stay in half precision."""
    pipeline = make_pipeline()
    pipeline.to(torch.float16).save_pretrained(run.folder / "base", safe_serialization=True)
    assert run("steps=1") == 0


def test_frozen_weights_in_half_precision_leave_what_is_trained_in_float32(run):
    """As 5B needs it; matrix products are in bfloat16 then."""
    assert run("base_dtype=bfloat16", "micro_batch_size=1", "gradient_checkpointing=true") == 0
    weights = load_file(max(run.folder.glob("adapter_run/step_*")) / "weights.safetensors")
    assert {tensor.dtype for name, tensor in weights.items() if "buffer" not in name} == {
        torch.float32
    }
    lines = (run.folder / "adapter_run" / "log.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(line)["loss"]) for line in lines)


def test_the_precision_of_a_run_is_that_of_its_latents(run, monkeypatch):
    """Where bfloat16 is fast they used to be made in it, whatever the run said."""
    monkeypatch.setattr("training.device.has_fast_bfloat16", lambda device: True)
    latents = {}
    for precision in ("float32", "bfloat16", "auto"):
        out = run.folder / precision
        assert run("steps=1", f"precision={precision}", flags=["--out", out]) == 0
        latents[precision] = load_file(f"{out}_latents.safetensors")["latents_NFCHW"]
    assert torch.equal(latents["auto"], latents["bfloat16"])
    assert not torch.equal(latents["auto"], latents["float32"])


def test_two_runs_give_the_same_adapter(run, tmp_path):
    assert run() == 0
    weights = tmp_path / "adapter" / "pytorch_lora_weights.safetensors"
    first = load_file(weights)
    for path in sorted((tmp_path / "adapter_run").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert run() == 0
    again = load_file(weights)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_clips_of_others_do_not_pass_as_cached(run, capsys):
    assert run() == 0
    metadata = run.folder / "clips" / METADATA_NAME
    metadata.write_text(metadata.read_text().replace("red", "blue"), encoding="utf-8")
    assert run() == 2
    assert "run folder must be of this configuration" in capsys.readouterr().err
    cache = run.folder / "adapter_latents.safetensors"
    assert run(flags=["--out", run.folder / "other", "--cache", cache]) == 2
    assert "latent cache must belong to these clips" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["clips/1.mp4", "masks/1.png"])
def test_a_run_does_not_go_on_with_other_videos_or_masks(run, capsys, name):
    """The list of clips is the same, and without the latents nothing else told them apart."""
    assert run("steps=2") == 0
    run_file = run.folder / "adapter_run" / "run.json"
    shutil.copy(run.folder / "clips" / name.replace("1", "0"), run.folder / "clips" / name)
    (run.folder / "adapter_latents.safetensors").unlink()
    capsys.readouterr()
    assert run("steps=2") == 2
    assert "where files_sha256 was " in capsys.readouterr().err
    fields = json.loads(run_file.read_text())
    del fields["files_sha256"]
    run_file.write_text(json.dumps(fields))
    assert run("steps=2") == 0, "older versions did not write it down"


def test_the_micro_batch_is_part_of_a_run_whose_maps_share_their_range(run, capsys):
    """With a range over the micro-batch another size would go on with other maths, unnoticed."""
    shared = "map_normalization=batch_min_max"
    assert run("steps=2", shared, "micro_batch_size=1") == 0
    capsys.readouterr()
    assert run("steps=2", shared) == 2
    assert "micro_batch_size was 1, is 2" in capsys.readouterr().err
    assert run("steps=2", shared, "micro_batch_size=1", "gradient_checkpointing=true") == 0
    out = ["--out", run.folder / "own"]
    assert run("steps=2", "micro_batch_size=1", flags=out) == 0
    assert run("steps=2", flags=out) == 0, "each map has its own range"


def test_unusable_engine_settings_are_refused():
    for settings, message in (
        (["precision=half"], "precision must be one of auto, float32, bfloat16, got 'half'"),
        (["base_dtype=int8"], "base_dtype must be one of float32, bfloat16"),
        (["base_dtype=bfloat16", "precision=float32"], "precision must be bfloat16 on a base"),
        (["micro_batch_size=9"], r"micro_batch_size must be in 1\.\.8, got 9"),
        (["condition_dropout=1.5"], r"condition_dropout must be in 0\.\.1, got 1\.5"),
        (["image_dropout=-1"], r"image_dropout must be in 0\.\.1, got -1\.0. The default is 0\.05"),
    ):
        with pytest.raises(ConfigError, match=message):
            with_settings(RECIPES["mini"](), settings)


def test_unknown_settings_are_refused():
    with pytest.raises(ConfigError, match="--set key must be one of"):
        with_settings(RECIPES["mini"](), ["colour=red"])
    with pytest.raises(ConfigError, match="--set steps must be a whole number, got 'many'"):
        with_settings(RECIPES["mini"](), ["steps=many"])


def test_sizes_of_the_tiny_world_are_the_pipelines():
    assert make_pipeline().size_hw == (HEIGHT, WIDTH)


def test_it_goes_on_with_an_adapter(run, capsys):
    assert run("image_dropout=0") == 0
    first = run.folder / "adapter"
    flags = ["--out", run.folder / "second", "--start-from", first]
    # Steps too small to be seen after rounding to half precision: what comes out is what went in.
    assert run("learning_rate=1e-9", "steps=1", "ema_decay=0", flags=flags) == 0
    for name in ("pytorch_lora_weights.safetensors", "patch_embed.safetensors"):
        before, after = load_file(first / name), load_file(run.folder / "second" / name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert (
        json.loads((run.folder / "second" / "tavid_adapter.json").read_text())["training_step"] == 5
    )
    flags[1] = run.folder / "third"
    assert run("learning_rate=1e-2", "steps=3", flags=flags) == 0
    lora = load_file(first / "pytorch_lora_weights.safetensors")
    third = load_file(run.folder / "third" / "pytorch_lora_weights.safetensors")
    assert all(not torch.equal(lora[key], third[key]) for key in lora)
    capsys.readouterr()
    flags[1] = run.folder / "fourth"
    assert run("lora_rank=8", flags=flags) == 2
    assert "of this run's shape, got" in (told := capsys.readouterr().err)
    assert "lora_rank 4 there, 8 here" in told


def test_an_adapter_of_another_base_is_told(run, capsys):
    assert run("steps=1") == 0
    flags = ["--out", run.folder / "second", "--start-from", run.folder / "adapter"]
    assert run("steps=1", flags=flags) == 0
    assert "another base" not in capsys.readouterr().err
    make_pipeline(seed=5).save_pretrained(run.folder / "base", safe_serialization=True)
    flags[1] = run.folder / "third"
    flags += ["--cache", run.folder / "third_latents.safetensors"]
    assert run("steps=1", flags=flags) == 0
    told = capsys.readouterr().err
    assert "start_from was trained on another base (base, " in told
    assert "training.move_adapter" in told
