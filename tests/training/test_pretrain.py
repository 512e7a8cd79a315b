"""The making of the mini model, a step or two of each part, from clips to an exported folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tavid_core.adapter_manifest import MANIFEST_FILE, read_manifest
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from tavid_core.weights_file import hash_folder
from tests.tiny import make_image, make_mask
from training import (
    deepen,
    export,
    pretrain,
    pretrain_decoder,
    pretrain_keypoints,
    pretrain_vae,
    widen,
)
from training.clips import METADATA_NAME, ClipRecord, write_frames


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    clips, lines = folder / "clips", []
    for part in ("clips", "masks"):
        (clips / part).mkdir(parents=True)
    for index in range(2):
        import cv2

        frames = np.stack([make_image(20 * index + t, 64, 96) for t in range(17)])
        write_frames(clips / f"clips/{index}.mp4", frames, 8.0)
        cv2.imwrite(str(clips / f"masks/{index}.png"), make_mask(64, 96).astype(np.uint8) * 255)
        record = ClipRecord(
            file_name=f"clips/{index}.mp4",
            text="A person lifts the red mug.",
            fps=8.0,
            mask_file=f"masks/{index}.png",
            source="test",
            licence="CC0-1.0",
        )
        lines.append(record.to_json())
    (clips / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    common = ["--clips", str(clips), "--out", str(folder)]
    assert pretrain_vae.main([*common, "--steps", "2"]) == 0
    latents_of = (folder / "vae" / "config.json").read_text()
    assert pretrain.main([*common, "--steps", "2", "--batch-size", "2"]) == 0
    # One step on a window, one on a whole clip.
    assert pretrain_decoder.main([*common, "--steps", "2", "--full-share", "0.5"]) == 0
    assert (
        json.loads((folder / "vae" / "config.json").read_text())["scaling_factor"]
        == (json.loads(latents_of)["scaling_factor"])
    )
    return folder


def test_the_decoder_alone_leaves_the_latents_as_they_were(run):
    # pretrain would refuse a cache made by another encoder.
    assert (run / "latents.safetensors").is_file()
    common = ["--clips", str(run / "clips"), "--out", str(run)]
    assert pretrain.main([*common, "--steps", "2", "--batch-size", "2"]) == 0


def test_a_decoder_meets_what_the_model_imagines_and_a_critic(run, tmp_path):
    words = ["--clips", str(run / "clips"), "--out", str(tmp_path), "--steps", "2"]
    words += ["--full-share", "0.5", "--critic", "0.5", "--imagined", str(run / "base")]
    (tmp_path / "latents.safetensors").symlink_to(run / "latents.safetensors")
    shutil.copytree(run / "vae", tmp_path / "vae")
    assert pretrain_decoder.main([*words, "--adapter", "none"]) == 0
    file = "vae/diffusion_pytorch_model.safetensors"
    before, after = load_file(run / file), load_file(tmp_path / file)
    assert before.keys() == after.keys(), "the critic stays here"
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    log = (tmp_path / "decoder_run" / "log.jsonl").read_text().splitlines()
    assert {"loss", "error", "critic"} <= json.loads(log[-1]).keys()


def test_an_unusable_critic_is_told_before_anything_is_made(tmp_path, capsys):
    words = ["--clips", str(tmp_path), "--out", str(tmp_path), "--critic", "-1"]
    assert pretrain_decoder.main(words) == 2
    assert "weight must be above 0 and finite, got -1.0" in capsys.readouterr().err


def test_windows_lie_where_something_moves():
    latents_FCHW = torch.zeros(5, 16, 16, 24)
    latents_FCHW[3:, :, 12, 20] = 1.0
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        rows, columns = pretrain_decoder._draw_window(latents_FCHW, generator)
        assert rows.start <= 12 < rows.stop <= 16
        assert columns.start <= 20 < columns.stop <= 24
        assert (rows.stop - rows.start, columns.stop - columns.start) == (8, 12)


def test_the_export_is_a_model_that_the_planner_loads(run, tmp_path):
    assert export.main(["--run", str(run), "--assets", str(tmp_path), "--steps", "2"]) == 0
    planner = InteractionPlanner.from_pretrained(tmp_path / "mini", adapter=None)
    request = PlanRequest(
        image=make_image(0, 64, 96), target_mask=make_mask(64, 96), prompt="A person lifts it."
    )
    rollout = planner.imagine(request)
    assert rollout.frames.shape == (17, 64, 96, 3)
    assert rollout.fps == 8.0
    # What lies where on the machine that trained it is nobody's business.
    texts = [path.read_text() for path in (tmp_path / "mini").rglob("*.json")]
    assert not [text for text in texts if str(run) in text]


def test_the_exported_adapter_knows_the_base_beside_it(run, tmp_path):
    shutil.copytree(export.ASSETS / "mini_adapter", run / "adapter")
    assert export.main(["--run", str(run), "--assets", str(tmp_path)]) == 0
    manifest = read_manifest(tmp_path / "mini_adapter" / MANIFEST_FILE)
    assert manifest.base_model == "tavid-mini"
    assert manifest.base_model_sha256 == hash_folder(tmp_path / "mini")


def test_a_base_can_begin_with_the_weights_of_another(run):
    clips = ["--clips", str(run / "clips")]
    for name in ("vae", "latents.safetensors"):
        (run / "second").mkdir(exist_ok=True)
        (run / "second" / name).symlink_to(run / name)
    begun = ["--start-from", str(run / "base"), "--learning-rate", "1e-12"]
    words = [*clips, "--out", str(run / "second"), "--steps", "1", "--batch-size", "1"]
    assert pretrain.main([*words, *begun]) == 0
    file = "base/transformer/diffusion_pytorch_model.safetensors"
    first, second = load_file(run / file), load_file(run / "second" / file)
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=1e-6, rtol=0)


def test_a_deepened_base_is_gone_on_with_as_deep_as_it_is(run):
    folder = run / "third"
    folder.mkdir()
    for name in ("vae", "latents.safetensors"):
        (folder / name).symlink_to(run / name)
    assert deepen.main([str(run / "base"), str(folder / "start"), "--blocks", "7"]) == 0
    words = ["--clips", str(run / "clips"), "--out", str(folder), "--steps", "1"]
    words += ["--batch-size", "1", "--start-from", str(folder / "start")]
    assert pretrain.main(words) == 0
    config = json.loads((folder / "base" / "transformer" / "config.json").read_text())
    assert config["num_layers"] == 7


def test_heatmaps_have_their_peak_at_the_joint_and_none_for_nobody():
    pixels = torch.full((1, 2, 2), float("nan"))
    pixels[0, 0] = torch.tensor([31.0, 20.0])
    maps = pretrain_keypoints.heatmaps(pixels)
    assert maps[0, 1].max() == 0
    row, column = divmod(int(maps[0, 0].argmax()), maps.shape[-1])
    assert abs((column + 0.5) * 2 - 0.5 - 31) <= 1
    assert abs((row + 0.5) * 2 - 0.5 - 20) <= 1


def test_a_detector_learns_and_survives_its_file(tmp_path):
    from training.loop_config import LoopConfig

    rng = np.random.default_rng(0)
    frames = np.full((24, 64, 96, 3), 90, np.uint8)
    pixels = np.full((24, 7, 2), np.nan, np.float32)
    for index in range(24):
        x, y = int(rng.integers(8, 88)), int(rng.integers(8, 56))
        frames[index, y - 3 : y + 4, x - 3 : x + 4] = (250, 200, 160)
        pixels[index, 5] = (x, y)
    loop = LoopConfig(num_steps=70, learning_rate=4e-3, warmup_steps=5, ema_decay=0.0)
    detector = pretrain_keypoints.train_detector(
        frames, pixels, loop, tmp_path / "run", batch_size=8
    )
    detector.save(tmp_path / "detector.safetensors")
    found = HeatmapDetector.from_pretrained(tmp_path / "detector.safetensors")(frames)
    hand, confidence = found.track("left_hand")
    assert np.median(np.linalg.norm(hand - pixels[:, 5], axis=1)) < 3.0
    assert np.median(confidence) > 2 * np.median(found.track("head")[1])


def test_a_base_is_gone_on_with_for_a_vae_with_more_latent_channels(run, tmp_path):
    words = [str(run / "vae"), str(tmp_path / "vae"), "--channels", "16", "32", "32"]
    assert widen.main([*words, "--latent-channels", "18"]) == 0
    begun = ["--clips", str(run / "clips"), "--out", str(tmp_path), "--steps", "1"]
    begun += ["--batch-size", "1", "--start-from", str(run / "base")]
    assert pretrain.main(begun) == 0
    config = json.loads((tmp_path / "base" / "transformer" / "config.json").read_text())
    assert (config["in_channels"], config["out_channels"]) == (36, 18)
