"""The planner on a tiny model from disk: stages, stopping, seeds, provenance, bad models."""

from __future__ import annotations

import json
import sys
import time
import types

import numpy as np
import pytest
import torch
from peft import LoraConfig

from tavid_core.adapter import hash_folder, save_adapter, widen_patch_embed
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.config import PromptConfig
from tavid_core.errors import CanceledError, ConfigError, InputError, NonFiniteError, WeightsError
from tavid_core.lifting.keypoints import Keypoints
from tavid_core.model_card import ModelCard, write_model_card
from tavid_core.planner import InteractionPlanner
from tavid_core.types import Contact, InteractionMotion, PlanRequest, PointTrack
from tests import tiny

STEPS = 3
STAGES = [
    ("condition", 0),
    ("condition", 1),
    ("denoise", 0),
    ("denoise", 1),
    ("denoise", 2),
    ("denoise", 3),
    ("decode", 0),
    ("decode", 1),
    ("lift", 0),
    ("lift", 1),
]
CARD = ModelCard(
    name="tiny",
    num_frames=tiny.NUM_FRAMES,
    num_inference_steps=STEPS,
    guidance_scale=3.0,
    use_dynamic_guidance=False,
)


def detect(frames: np.ndarray) -> Keypoints:
    pixels = np.zeros((len(frames), 1, 2), np.float32)
    return Keypoints(("left_hand",), pixels, np.ones((len(frames), 1), np.float32))


def lift(rollout, request, keypoints, *, fit) -> InteractionMotion:
    num_frames = len(rollout.frames)
    track = PointTrack(
        name="target",
        pixels=fit.pixels_to_caller(keypoints.pixels[:, 0]),
        positions_camera_m=np.zeros((num_frames, 3), np.float32),
        confidence=np.ones(num_frames, np.float32),
    )
    return InteractionMotion(
        hands=(),
        body=(),
        target=track,
        target_quaternions_xyzw=np.zeros((num_frames, 4), np.float32),
        target_dof=3,
        contact=Contact(),
        scale_source="none",
        confidence={},
        reasons={},
    )


def write_adapter(folder, num_mask_slots: int = 1) -> None:
    transformer = tiny.make_transformer(2)
    widen_patch_embed(transformer, num_mask_slots)
    torch.manual_seed(5)
    transformer.add_adapter(
        LoraConfig(r=4, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k"]),
        adapter_name="tavid",
    )
    with torch.no_grad():
        transformer.patch_embed.proj.weight[:, -num_mask_slots:].normal_()
    words = ("target", "source", "box")[:num_mask_slots]
    placeholders = ("{target}", "{actor}", "{slot_3}")[:num_mask_slots]
    sentence = f"The person interacts with {' and '.join(placeholders)} object ."
    prompt = PromptConfig(slot_words=words, sentence=sentence)
    manifest = AdapterManifest(
        base_model="tiny",
        prompt=prompt,
        num_mask_slots=num_mask_slots,
        lora_rank=4,
        lora_alpha=2.0,
        lora_targets=("to_q", "to_k"),
        attention_blocks=(1, 2),
        training_step=12,
    )
    save_adapter(folder, transformer, manifest)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    tiny.make_pipeline().save_pretrained(root / "model")
    write_model_card(root / "model", CARD)
    write_adapter(root / "adapter")
    return root / "model", root / "adapter"


def load(folders, **options) -> InteractionPlanner:
    model, adapter = folders
    return InteractionPlanner.from_pretrained(
        model, **{"adapter": adapter, "detector": detect, "lifter": lift, **options}
    )


@pytest.fixture(scope="module")
def planner(folders):
    return load(folders)


def make_request(**changes) -> PlanRequest:
    # Larger than the model's 32x48 and wider than its 2:3.
    fields = {
        "image": tiny.make_image(0, 64, 128),
        "target_mask": tiny.make_mask(64, 128),
        "prompt": "picks up the target mug",
        "seed": 3,
    }
    return PlanRequest(**{**fields, **changes})


def test_plan_reports_every_stage_and_step_in_order(planner):
    seen = []
    plan = planner.plan(make_request(), on_progress=seen.append)
    assert [(p.stage, p.step) for p in seen] == STAGES
    assert all(p.total_steps == (STEPS if p.stage == "denoise" else 1) for p in seen)
    elapsed = [p.elapsed_sec for p in seen]
    assert elapsed == sorted(elapsed)
    assert seen[3].remaining_sec > seen[5].remaining_sec > 0
    assert elapsed[-1] <= plan.planning_time_sec < elapsed[-1] + 5.0


def test_rollout_has_the_models_size_and_a_map_from_0_to_1(planner):
    rollout = planner.imagine(make_request())
    assert rollout.frames.shape == (tiny.NUM_FRAMES, tiny.HEIGHT, tiny.WIDTH, 3)
    assert rollout.frames.std() > 1
    assert rollout.fps == 8.0
    assert rollout.attention_map.shape == (tiny.HEIGHT, tiny.WIDTH)
    assert rollout.attention_map.dtype == np.float32
    assert 0.0 <= rollout.attention_map.min() < 0.1 < 0.5 < rollout.attention_map.max() <= 1.0


def test_one_seed_gives_one_plan_and_another_seed_another(planner, folders):
    first, second = planner.plan(make_request()), load(folders).plan(make_request())
    assert np.array_equal(first.rollout.frames, second.rollout.frames)
    assert np.array_equal(first.rollout.attention_map, second.rollout.attention_map)
    assert first.provenance == second.provenance
    other = planner.imagine(make_request(seed=4))
    assert not np.array_equal(first.rollout.frames, other.frames)


def test_mask_and_prompt_matter(planner):
    first = planner.imagine(make_request())
    for change in ({"target_mask": tiny.make_mask(64, 128, left=False)}, {"prompt": "lifts it"}):
        assert not np.array_equal(first.frames, planner.imagine(make_request(**change)).frames)


def test_settings_of_the_request_win_over_the_card(planner):
    seen = []
    request = make_request(num_inference_steps=2, guidance_scale=1.0, num_frames=tiny.NUM_FRAMES)
    planner.imagine(request, on_progress=seen.append)
    assert max(p.step for p in seen if p.stage == "denoise") == 2
    provenance = planner.provenance(request)
    assert (provenance["num_inference_steps"], provenance["guidance_scale"]) == (2, 1.0)


def test_provenance_names_everything_and_is_json(planner, folders):
    provenance = planner.plan(make_request()).provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["model_sha256"] == hash_folder(folders[0])
    assert provenance["adapter_sha256"] == hash_folder(folders[1])
    assert provenance["adapter_training_step"] == 12
    assert provenance["seed"] == 3
    assert provenance["scheduler"] == "CogVideoXDPMScheduler"
    assert provenance["prompt"] == (
        "The person interacts with target object . picks up the target mug"
    )
    assert provenance["prompt_tokens_cut_off"] == 0
    assert provenance["versions"]["torch"] == torch.__version__


def test_tokens_cut_off_behind_the_sentence_are_told(planner):
    request = make_request(prompt=" ".join(["mug"] * 30))
    assert planner.provenance(request)["prompt_tokens_cut_off"] == 7 + 30 + 1 - tiny.MAX_TEXT


@pytest.mark.parametrize("stop_at", range(len(STAGES) - 1))
def test_stop_is_obeyed_at_every_stage_and_nothing_is_decoded_after_it(
    planner, monkeypatch, stop_at
):
    seen, decoded = [], []
    original = type(planner.sampler.pipeline).decode_latents
    monkeypatch.setattr(
        type(planner.sampler.pipeline),
        "decode_latents",
        lambda self, latents: decoded.append(len(seen)) or original(self, latents),
    )
    stage, step = STAGES[stop_at]
    with pytest.raises(CanceledError, match=f"in stage '{stage}' after step {step} of"):
        planner.plan(
            make_request(), on_progress=seen.append, should_stop=lambda: len(seen) > stop_at
        )
    assert [(p.stage, p.step) for p in seen] == STAGES[: stop_at + 1]
    assert bool(decoded) == (stop_at > STAGES.index(("decode", 0)))


def test_plan_after_a_stop_equals_a_plan_without(planner):
    expected = planner.imagine(make_request())
    for stop_at in (1, 4):
        seen = []
        with pytest.raises(CanceledError):
            planner.plan(
                make_request(seed=9),
                on_progress=seen.append,
                should_stop=lambda seen=seen, stop_at=stop_at: len(seen) > stop_at,
            )
    again = planner.imagine(make_request())
    assert np.array_equal(again.frames, expected.frames)
    assert np.array_equal(again.attention_map, expected.attention_map)


def test_second_plan_knows_how_long_decoding_and_lifting_take(folders):
    planner = load(folders, lifter=lambda *a, **k: time.sleep(0.3) or lift(*a, **k))
    planner.plan(make_request())
    seen = []
    planner.plan(make_request(), on_progress=seen.append)
    decode = next(p for p in seen if p.stage == "decode")
    assert decode.remaining_sec >= 0.3


def test_nan_in_latents_is_an_error_at_its_step(folders):
    planner, seen = load(folders), []
    with torch.no_grad():
        planner.sampler.pipeline.transformer.proj_out.bias[0] = float("nan")
    with pytest.raises(
        NonFiniteError, match="latents must be finite, got NaN or infinity after step 1"
    ):
        planner.plan(make_request(), on_progress=seen.append)
    assert seen[-1].step == 0


def test_nan_in_frames_is_an_error(folders):
    planner = load(folders)
    with torch.no_grad():
        planner.sampler.pipeline.vae.decoder.conv_out.conv.bias[0] = float("nan")
    with pytest.raises(NonFiniteError, match="frames must be finite"):
        planner.plan(make_request())


def test_base_model_gets_the_bare_prompt_and_shows_no_map(folders):
    planner = load(folders, adapter=None)
    plan = planner.plan(make_request())
    assert plan.rollout.attention_map is None
    assert plan.provenance["prompt"] == "picks up the target mug"
    assert plan.provenance["adapter_sha256"] is None
    other = planner.imagine(make_request(target_mask=tiny.make_mask(64, 128, left=False)))
    assert np.array_equal(plan.rollout.frames, other.frames)


def test_two_slots_take_the_actor_mask(folders, tmp_path):
    write_adapter(tmp_path, num_mask_slots=2)
    planner = load(folders, adapter=tmp_path)
    with pytest.raises(InputError, match="actor_mask must be given"):
        planner.plan(make_request())
    actor = tiny.make_mask(64, 128, left=False)
    first = planner.imagine(make_request(actor_mask=actor))
    other = planner.imagine(make_request(actor_mask=~actor))
    assert not np.array_equal(first.frames, other.frames)


def test_further_slots_take_further_masks(folders, tmp_path):
    write_adapter(tmp_path, num_mask_slots=3)
    planner = load(folders, adapter=tmp_path)
    actor = tiny.make_mask(64, 128, left=False)
    with pytest.raises(InputError, match="extra_masks must hold 1 to a model with 3 mask slots"):
        planner.imagine(make_request(actor_mask=actor))
    first = planner.imagine(make_request(actor_mask=actor, extra_masks=(actor,)))
    other = planner.imagine(make_request(actor_mask=actor, extra_masks=(tiny.make_mask(64, 128),)))
    assert not np.array_equal(first.frames, other.frames)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 17}, "must be those of the model's learned positions"),
        ({"target_mask": np.eye(64, 128, dtype=bool)}, "target_mask must lie within columns 16"),
    ],
)
def test_requests_that_do_not_fit_the_model_are_refused(planner, changes, message):
    with pytest.raises(InputError, match=message):
        planner.plan(make_request(**changes))


def test_card_is_optional(folders, tmp_path):
    tiny.make_pipeline().save_pretrained(tmp_path / "model")
    planner = load((tmp_path / "model", folders[1]))
    settings = planner.sampler.settings(make_request())
    assert (settings.num_frames, settings.num_inference_steps) == (tiny.NUM_FRAMES, 50)
    assert (settings.guidance_scale, settings.use_dynamic_guidance) == (6.0, True)


def test_bfloat16_runs(folders):
    rollout = load(folders, dtype="bfloat16").imagine(make_request())
    assert rollout.frames.shape[0] == tiny.NUM_FRAMES
    assert np.isfinite(rollout.attention_map).all()


def test_decoding_in_tiles_gives_nearly_the_same_frames(folders, planner):
    tiled = load(folders, vae_tiling=True)
    tiles = tiled.imagine(make_request()).frames.astype(int)
    whole = planner.imagine(make_request()).frames.astype(int)
    assert tiles.shape == whole.shape
    # The tiles are blended: some pixels differ, and none by much.
    assert np.abs(tiles - whole).max() > 0
    assert np.abs(tiles - whole).mean() < 8.0
    assert tiled.provenance(make_request())["vae_tiling"] is True


def test_unusable_device_and_offload_are_refused(folders):
    with pytest.raises(ConfigError, match="offload must be 'none' on device 'cpu'"):
        load(folders, offload="model")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device must be one that torch can use"):
            load(folders, device="cuda")


def test_adapter_of_another_model_is_refused(folders, tmp_path):
    tiny.make_pipeline(num_layers=2).save_pretrained(tmp_path / "model")
    with pytest.raises(WeightsError, match="exactly the model's layers"):
        load((tmp_path / "model", folders[1]))


def test_adapter_remembers_the_model_it_was_trained_on(folders, tmp_path):
    model, adapter = folders
    for file in adapter.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    manifest = json.loads((tmp_path / "tavid_adapter.json").read_text())
    for sha256, expected in ((hash_folder(model), True), ("0" * 64, False), ("", None)):
        manifest["base_model_sha256"] = sha256
        (tmp_path / "tavid_adapter.json").write_text(json.dumps(manifest))
        planner = load(folders, adapter=tmp_path)
        assert planner.provenance(make_request())["adapter_was_trained_on_model"] is expected


def test_shipped_detector_and_lifter_are_the_default(folders, monkeypatch):
    detector = types.SimpleNamespace(
        HeatmapDetector=types.SimpleNamespace(from_pretrained=lambda: detect)
    )
    monkeypatch.setitem(sys.modules, "tavid_core.lifting.detector", detector)
    monkeypatch.setitem(sys.modules, "tavid_core.lifting.lift", types.SimpleNamespace(lift=lift))
    plan = load(folders, detector=None, lifter=None).plan(make_request())
    # Frame (0, 0) of the model's is the corner of the centred window of the caller's image.
    assert plan.motion.target.pixels[0] == pytest.approx([16.5, 0.5])
