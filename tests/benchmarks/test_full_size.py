"""The whole path of the full-size benchmark, at tiny sizes on the CPU."""

import json
import math
import shutil

import pytest
import torch

from benchmarks import full_size
from benchmarks.full_size import FullSizeJob, main, measure
from benchmarks.full_size_model import FULL, TINY, ModelSizes, build_base, write_clips
from tavid_core.errors import ConfigError
from tavid_core.planner import InteractionPlanner
from training.clips import METADATA_NAME, read_frames, read_mask, read_records
from training.companions import count_companions

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    # Of layers this small, sharing the work costs ten times what it saves.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full_size")
    build_base(folder / "base", TINY, CPU)
    write_clips(folder / "clips", 1, TINY.video_shape)
    return folder


def command(folder, *words):
    shared = ("--work", str(folder), "--tiny", "--device", "cpu", "--clips", "1")
    return main([*shared, "--steps", "2", "--denoising-steps", "2", *words])


@pytest.fixture(scope="module")
def outcome(work):
    """The figures of a first run, and what it left behind."""
    figures = measure(
        FullSizeJob(work=work, device=CPU, sizes=TINY, num_steps=2, denoising_steps=2, num_clips=1)
    )
    return figures, work


def test_every_stage_is_measured(outcome):
    figures, _ = outcome
    told = dict(figures)
    assert (told.pop("device"), told.pop("recipe")) == ("cpu", "cogvideox_5b_24gb")
    assert told.pop("memory_limit_gib") is None
    assert (told["num_steps"], told["denoising_steps"], told["num_frames"]) == (2, 2, 9)
    assert all(math.isfinite(value) and value > 0 for value in told.values())
    assert told["finetune_seconds_per_step"] < told["finetune_seconds"]
    assert told["seconds_per_denoising_step"] < told["imagine_seconds"]
    assert {"last_loss", "encode_seconds", "adapter_mib", "imagine_load_seconds"} <= set(told)
    # Peaks are those of a GPU, and the tiny model leaves no layers out.
    assert not [name for name in told if "peak" in name or "left_out" in name]


def test_the_adapter_is_the_recipes_and_loads(outcome):
    _, work = outcome
    adapter = work / "finetune" / "adapter"
    planner = InteractionPlanner.from_pretrained(work / "base", adapter, dtype="bfloat16")
    manifest = planner.sampler.manifest
    assert (manifest.lora_rank, manifest.training_step) == (64, 2)
    assert planner.sampler.pipeline.transformer.dtype == torch.bfloat16
    log = (work / "finetune" / "adapter_run" / "log.jsonl").read_text()
    assert [json.loads(line)["step"] for line in log.splitlines()] == [0, 1]


def test_a_second_run_keeps_base_and_clips_and_trains_anew(outcome, capsys):
    figures, work = outcome
    kept = [work / "base" / "model_index.json", work / "clips" / METADATA_NAME]
    before = [path.stat().st_mtime_ns for path in kept]
    assert command(work, "--json", "--vae-tiling") == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    # The same seed and the same clips: a run that went on would have had no step to time.
    assert json.loads(line)["last_loss"] == figures["last_loss"]
    assert set(json.loads(line)) == set(figures)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert "imagine: denoise 2/2" in captured.err


def test_without_memory_the_figures_so_far_are_told(outcome, monkeypatch, capsys):
    _, work = outcome

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")

    monkeypatch.setattr(full_size, "imagine", fail)
    assert command(work) == 1
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["out_of_memory"].strip() == "imagine"
    assert float(rows["last_loss"]) > 0
    assert rows["memory_limit_gib"].strip() == "none"
    monkeypatch.setattr(full_size, "finetune", fail)
    assert command(work, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["out_of_memory"] == "finetune"
    assert "imagine_seconds" not in told


def test_clips_show_a_rectangle_where_the_mask_is(work):
    clips = work / "clips"
    (record,) = read_records(clips)
    frames, mask = read_frames(clips, record), read_mask(clips, record.mask_file)
    assert frames.shape == (*TINY.video_shape, 3)
    assert frames[0][mask][:, 0].mean() > 150 > frames[0][~mask][:, 0].mean()
    assert frames[-1][mask][:, 0].mean() < frames[0][mask][:, 0].mean()


def test_clips_of_another_size_are_drawn_again(tmp_path):
    write_clips(tmp_path / "clips", 1, (9, 32, 48))
    write_clips(tmp_path / "clips", 2, (9, 32, 64))
    records = read_records(tmp_path / "clips")
    shapes = [read_frames(tmp_path / "clips", record).shape for record in records]
    assert shapes == [(9, 32, 64, 3)] * 2
    assert len(list((tmp_path / "clips" / "clips").iterdir())) == 2


def test_a_base_of_another_size_is_refused(work):
    other = ModelSizes({**TINY.transformer, "num_layers": 25}, TINY.vae, TINY.text_encoder)
    with pytest.raises(ConfigError, match=r"num_layers in .*base. Name another folder"):
        build_base(work / "base", other, CPU)


def test_a_damaged_base_is_told(work, tmp_path, capsys):
    shutil.copytree(work / "base", tmp_path / "base")
    (weights,) = (tmp_path / "base" / "vae").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    assert command(tmp_path) == 2
    assert f"{weights} must be a whole safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "1"), "num_steps must be at least 2, got 1"),
        (("--denoising-steps", "1"), "denoising_steps must be at least 2, got 1"),
        (("--clips", "0"), "num_clips must be at least 1, got 0"),
        (("--memory-gib", "-1"), "memory_gib must be finite and 0 or more, got -1.0"),
        (("--memory-gib", "nan"), "memory_gib must be finite and 0 or more, got nan"),
        (("--offload",), "offload must be left out on a CPU"),
        (("--device", "nonsense"), "device must be one that torch can use here, got 'nonsense'"),
    ],
)
def test_bad_arguments_are_refused(words, message, tmp_path, capsys):
    assert command(tmp_path / "work", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_recipes_are_those_of_5b(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(tmp_path, "--recipe", "mini")
    assert "cogvideox_5b_paper" in capsys.readouterr().err


def test_the_limit_is_a_share_of_the_card(monkeypatch):
    told = []
    card = type("Card", (), {"total_memory": 80 * 2**30})()
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *words: told.append(words)
    )
    full_size._limit_memory(torch.device("cuda"), 24.0)
    full_size._limit_memory(torch.device("cuda:1"), 80.0)
    assert told == [(0.3, 3), (1.0, 1)]
    with pytest.raises(ConfigError, match=r"at most the 80.0 of the device, got 81. 0 sets"):
        full_size._limit_memory(torch.device("cuda"), 81)


def test_the_full_size_is_that_of_the_real_model(tmp_path):
    assert FULL.video_shape == (49, 480, 720)
    (tmp_path / "text_encoder").mkdir()
    config = {"model_type": "t5", "vocab_size": 500, **FULL.text_encoder}
    (tmp_path / "text_encoder" / "config.json").write_text(
        json.dumps({**config, "feed_forward_proj": "gated-gelu"})
    )
    left_out = full_size._left_out_gib(tmp_path)
    real = count_companions(None, "bfloat16", has_text_encoder=True, has_vae=False)["text encoder"]
    # 23 of 24 layers, and most of the vocabulary.
    assert 0.94 * real < left_out < real
