"""Estimates without weights, against numbers that can be worked out by hand."""

import dataclasses
import shutil

import pytest
from safetensors.torch import load_file

from tavid_core.errors import ConfigError, InputError
from tavid_core.model_folder import ASSETS
from tests.training_clips import write_clips
from training.adapter_model import LORA_TARGETS
from training.companions import count_companions
from training.dry_run import estimate, read_transformer_config
from training.finetune import main
from training.finetune_config import with_settings
from training.recipes import RECIPES
from training.run_folder import flatten


def test_paper_recipe_has_the_papers_numbers():
    config = RECIPES["cogvideox_5b_paper"]()
    dry = estimate(config, read_transformer_config(None, "cogvideox_5b_paper"))
    assert (dry.num_video_tokens, dry.num_text_tokens) == (17_550, 226)
    # LoRA: 42 blocks, 4 layers of 3072 x 3072, rank 128; patch projection 33 x 2 x 2 to 3072.
    assert dry.num_trained == 42 * 4 * 128 * 2 * 3072 + 33 * 4 * 3072 + 3072
    # 332 TFLOP forward; 1.24 PFLOP per clip and step with checkpointing.
    assert dry.step_tflop == pytest.approx(4 * 1241, rel=0.02)
    # The authors report about 6 h on four A100.
    assert 15 < dry.hours["a100"] < 30


def test_paper_recipe_is_the_papers_to_the_letter():
    assert flatten(RECIPES["cogvideox_5b_paper"]()) == {
        "loop.num_steps": 2000,
        "loop.learning_rate": 1e-4,
        "loop.warmup_steps": 0,
        "loop.weight_decay": 0.01,
        "loop.max_grad_norm": 1.0,
        "loop.ema_decay": 0.0,
        "loop.save_every": 100,
        "loop.seed": 0,
        "loop.optimizer": "adamw",
        "loop.max_minutes": None,
        "loop.schedule": "constant",
        "batch_size": 4,
        "lora_rank": 128,
        "lora_alpha": 64.0,
        "supervision.weight": 0.1,
        "supervision.blocks": (
            5,
            6,
            7,
            8,
            9,
            10,
            11,
            12,
            13,
            14,
            15,
            16,
            17,
            18,
            19,
            20,
            21,
            22,
            23,
        ),
        "supervision.choice": "random",
        "supervision.num_blocks": 7,
        "supervision.direction": "v2t",
        "supervision.normalization": "sample_min_max",
        "image_dropout": 0.05,
        "condition_dropout": 0.0,
        "num_noisy_images": 4,
        "use_mask": True,
        "sloppy_masks": False,
        "sloppy_loss_masks": False,
        "prompt.slot_words": ("target",),
        "prompt.sentence": "The person interacts with {target} object.",
        "prompt.added_tokens": False,
        "prompt.sentence_position": "prepend",
        "gradient_checkpointing": True,
        "micro_batch_size": 1,
        "precision": "auto",
        "base_dtype": "bfloat16",
        "train_tokens": False,
    }
    assert LORA_TARGETS == ("to_k", "to_out.0", "to_q", "to_v")
    assert RECIPES["cogvideox_5b_paper"]().uses_bfloat16 is True


def test_checkpointing_saves_memory_and_costs_time():
    config = RECIPES["mini"]()
    sizes = read_transformer_config(ASSETS / "mini", "mini")
    kept = estimate(config, sizes)
    again = estimate(dataclasses.replace(config, gradient_checkpointing=True), sizes)
    assert again.memory_gib < kept.memory_gib
    assert again.step_tflop > kept.step_tflop


def test_memory_counts_what_the_settings_change():
    sizes = read_transformer_config(ASSETS / "mini", "mini")

    def memory(*settings):
        return estimate(with_settings(RECIPES["mini"](), list(settings)), sizes).memory_gib

    assert memory("micro_batch_size=1") < memory("micro_batch_size=4") < memory()
    assert memory("base_dtype=bfloat16") < memory()
    assert memory("optimizer=adamw8bit") < memory()
    assert memory("precision=float32") > memory()
    assert memory("ema_decay=0") < memory()
    tokens = ["slot_words=[TGT]", "added_tokens=true", "train_tokens=true"]
    trained = estimate(with_settings(RECIPES["mini"](), tokens), sizes).num_trained
    assert trained - estimate(RECIPES["mini"](), sizes).num_trained == sizes["text_embed_dim"]


def test_it_says_what_is_trained_and_counts_the_models_that_stay(capsys):
    assert main(["cogvideox_5b_paper", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "LoRA            to_k, to_out.0, to_q, to_v of every block" in told
    assert "slots           target" in told
    assert "attention loss  7 of blocks 5 to 23 in a step" in told
    assert "VAE and text encoder put away" in told

    sizes = read_transformer_config(ASSETS / "mini", "mini")

    def dry(*settings, **more):
        return estimate(
            with_settings(RECIPES["mini"](), list(settings)), sizes, ASSETS / "mini", **more
        )

    tokens = ["slot_words=[TGT]", "added_tokens=true", "train_tokens=true"]
    assert set(dry(*tokens).companions) == {"text encoder"}
    both = dry(validates=True).companions
    assert set(both) == {"text encoder", "VAE"}
    assert dry(validates=True).memory_gib - dry().memory_gib == pytest.approx(sum(both.values()))
    files = {"text encoder": "text_encoder/model", "VAE": "vae/diffusion_pytorch_model"}
    for name, file in files.items():
        tensors = load_file(ASSETS / "mini" / f"{file}.safetensors")
        num_numbers = sum(tensor.numel() for tensor in tensors.values())
        assert both[name] * 2**30 == 4 * num_numbers, "in float32"
    assert dry("attention_weight=0").describe().count("attention loss  none") == 1
    assert "2 of blocks 1, 3 in a step" in dry("attention_blocks=1,3").describe()


def test_text_encoder_and_vae_of_5b_are_counted_without_weights():
    companions = count_companions(None, "bfloat16", has_text_encoder=True, has_vae=True)
    # 4.76 and 0.22 thousand million numbers of two bytes.
    assert companions["text encoder"] == pytest.approx(8.87, abs=0.02)
    assert companions["VAE"] == pytest.approx(0.40, abs=0.02)


def test_command_says_it_in_seconds_and_lists_bad_clips(tmp_path, capsys):
    assert main(["cogvideox_5b_24gb", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "17,550 video and 226 text" in told
    assert "a100" in told
    (tmp_path / "metadata.jsonl").write_text("{broken\n")
    words = ["mini", "--dry-run", "--base", str(ASSETS / "mini"), "--clips", str(tmp_path)]
    assert main(words) == 2
    told = capsys.readouterr().out
    assert "line 1: metadata line must be JSON" in told
    assert "captions not checked" not in told
    assert main(["cogvideox_5b_paper", "--dry-run", "--clips", str(tmp_path)]) == 2
    assert "captions not checked, give --base" in capsys.readouterr().out
    # Clips to validate on end a run as well.
    write_clips(tmp_path / "good")
    (tmp_path / "good" / "clips" / "1.mp4").unlink()
    words = ["mini", "--dry-run", "--base", str(ASSETS / "mini"), "--skip-bad"]
    words += ["--clips", str(tmp_path), "--validation-clips", str(tmp_path / "good")]
    assert main(words) == 2
    assert "to validate on  0 usable" in capsys.readouterr().out


def test_a_hub_id_is_rehearsed_without_its_weights(monkeypatch, tmp_path, capsys):
    """They used to be fetched first: 20 GB for an estimate."""
    shutil.copytree(ASSETS / "mini", tmp_path / "mini")
    for weights in (tmp_path / "mini").rglob("*.safetensors"):
        weights.unlink()
    asked = []

    def snapshot_download(name, allow_patterns, **_):
        asked.extend(allow_patterns)
        return str(tmp_path / "mini")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert main(["mini", "--dry-run", "--base", "somebody/mini"]) == 0
    assert "2 of blocks 1 to 4" in capsys.readouterr().out
    assert sorted(asked) == ["*.json", "*.model", "*.txt"]


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("tokenizer", None, "base must hold tokenizer/ to check captions, got "),
        ("tokenizer/tokenizer.json", "{torn", "base must hold tokenizer/ to check captions, got "),
        ("vae/config.json", None, "base must hold vae/config.json with block_out_channels, got "),
        ("vae/config.json", "{}", "base must hold vae/config.json with block_out_channels, got "),
        ("transformer/config.json", "[]", "base must hold transformer/config.json, got "),
    ],
)
def test_a_base_that_lacks_what_is_read_is_told(tmp_path, capsys, path, content, told):
    base = shutil.copytree(ASSETS / "mini", tmp_path / "mini")
    if (base / path).is_dir():
        shutil.rmtree(base / path)
    else:
        (base / path).unlink()
    if content is not None:
        (base / path).write_text(content)
    write_clips(tmp_path / "clips", num_clips=1)
    words = ["mini", "--dry-run", "--base", str(base), "--clips", str(tmp_path / "clips")]
    assert main(words) == 2
    assert f"finetune: {told}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_no_clips_are_too_few(tmp_path, capsys, words):
    write_clips(tmp_path / "clips", num_clips=1)
    words = [*words, "--base", "mini", "--clips", str(tmp_path / "clips"), "--limit", "0"]
    assert main(["mini", *words, "--out", str(tmp_path / "adapter")]) == 2
    assert "finetune: limit must be at least 1, got 0. Give 1" in capsys.readouterr().err


def test_unknown_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="base must be given for the recipe 'mini'"):
        read_transformer_config(None, "mini")
    with pytest.raises(InputError, match="base must hold transformer/config"):
        read_transformer_config(tmp_path, "mini")
    for name, wanted in (("text_encoder", True), ("vae", False)):
        with pytest.raises(InputError, match=f"base must hold {name}/config"):
            count_companions(tmp_path, "float32", has_text_encoder=wanted, has_vae=not wanted)


def test_words_that_are_missing_are_named(capsys):
    assert main(["mini"]) == 2
    assert "base must be given, got none. Add --base, or --dry-run." in capsys.readouterr().err
