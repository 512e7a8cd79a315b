"""What a dry run says of the caches is what they take."""

import pytest

from tests.tiny import HEIGHT, WIDTH, make_pipeline
from tests.training_clips import write_clips
from training.cache_size import CacheSize
from training.dry_run import COGVIDEOX_5B_I2V, read_transformer_config
from training.finetune import main
from training.finetune_config import with_settings
from training.recipes import RECIPES


def test_the_files_of_a_run_are_as_large_as_was_said(tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    write_clips(tmp_path / "clips")
    settings = ["num_noisy_images=2", "steps=1"]
    words = ["debug_cpu", "--base", str(tmp_path / "base"), "--clips", str(tmp_path / "clips")]
    words += [word for setting in settings for word in ("--set", setting)]
    assert main([*words, "--out", str(tmp_path / "adapter")]) == 0
    sizes = read_transformer_config(tmp_path / "base", "debug_cpu")
    config = with_settings(RECIPES["debug_cpu"](), settings)
    size = CacheSize.of(config, sizes, (HEIGHT, WIDTH))
    for name, num_bytes in (("latents", 3 * size.clip_bytes), ("texts", size.caption_bytes)):
        header = (tmp_path / f"adapter_{name}.safetensors").read_bytes()
        assert len(header) - 8 - int.from_bytes(header[:8], "little") == num_bytes
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    assert "MiB for 3 clips, 0.0 MiB for 1 captions on the disk" in capsys.readouterr().out


def test_paper_recipe_takes_8_gb_for_the_papers_clips(capsys):
    config = RECIPES["cogvideox_5b_paper"]()
    size = CacheSize.of(config, COGVIDEOX_5B_I2V, (480, 720))
    assert 1290 * size.clip_bytes == pytest.approx(8.0e9, rel=0.01)
    assert "7.5 GiB for 1,290 clips, 2.2 GiB for 1,290 captions" in size.describe(1290, 1290)
    assert main(["cogvideox_5b_paper", "--dry-run"]) == 0
    assert "caches          5.9 MiB for a clip, 1.8 MiB for a caption" in capsys.readouterr().out
    tokens = with_settings(config, ["slot_words=[TGT]", "added_tokens=true", "train_tokens=true"])
    assert "caption" not in CacheSize.of(tokens, COGVIDEOX_5B_I2V, (480, 720)).describe(2)
