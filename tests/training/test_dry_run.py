"""Estimates without weights, against numbers that can be worked out by hand."""

import dataclasses

import pytest

from tavid_core.errors import ConfigError, InputError
from tavid_core.model_folder import ASSETS
from training.dry_run import estimate, read_transformer_config
from training.finetune import main
from training.finetune_config import with_settings
from training.recipes import RECIPES


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
    tokens = ["slot_words=[TGT]", "added_tokens=true", "train_tokens=true"]
    trained = estimate(with_settings(RECIPES["mini"](), tokens), sizes).num_trained
    assert trained - estimate(RECIPES["mini"](), sizes).num_trained == sizes["text_embed_dim"]


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


def test_unknown_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="base must be given for the recipe 'mini'"):
        read_transformer_config(None, "mini")
    with pytest.raises(InputError, match="base must hold transformer/config"):
        read_transformer_config(tmp_path, "mini")


def test_words_that_are_missing_are_named(capsys):
    assert main(["mini"]) == 2
    assert "base must be given, got none. Add --base, or --dry-run." in capsys.readouterr().err
