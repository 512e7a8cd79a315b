"""The recorded map against a materialised reference, its gradients, and what must be refused."""

from __future__ import annotations

import math

import pytest
import torch
from peft import LoraConfig
from torch.nn import functional

from tavid_core import attention_maps
from tavid_core.attention import AttentionRecorder, TargetAttnProcessor, install_processors
from tavid_core.errors import ConfigError, NotReadyError, ShapeError
from tests import tiny

GRID = (4, 6)
NUM_TEXT = tiny.MAX_TEXT


def make_inputs(batch: int = 2, seed: int = 7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(
            batch, 3, 2 * tiny.LATENT_CHANNELS, 8, 12, generator=generator
        ),
        "encoder_hidden_states": torch.randn(batch, NUM_TEXT, 16, generator=generator),
        "timestep": torch.full((batch,), 500),
    }


def add_lora(transformer) -> None:
    torch.manual_seed(3)
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(
            r=4, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v"]
        )
    )


class MaterialisedSdpa(torch.overrides.TorchFunctionMode):
    """Taps the stock attention call and computes the full softmax beside it."""

    def __init__(self, token_index: list[int], direction: str = "v2t") -> None:
        super().__init__()
        self.token_index, self.direction = token_index, direction
        self.maps: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is functional.scaled_dot_product_attention:
            query, key = args[:2]
            weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(-1)
            num_queries = math.prod(GRID)
            frame = slice(NUM_TEXT, NUM_TEXT + num_queries)
            rows = [
                weights[b, :, frame, i] if self.direction == "v2t" else weights[b, :, i, frame]
                for b, i in enumerate(self.token_index)
            ]
            self.maps.append(torch.stack(rows).mean(1))
        return func(*args, **(kwargs or {}))


def reference_maps(transformer, inputs, token_index, direction="v2t") -> list[torch.Tensor]:
    transformer.set_attn_processor(stock_processor())
    with MaterialisedSdpa(token_index, direction) as tap:
        transformer(**inputs)
    return tap.maps


def stock_processor():
    from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

    return CogVideoXAttnProcessor2_0()


def lora_gradients(transformer, loss) -> list[torch.Tensor]:
    transformer.zero_grad()
    loss.backward()
    return [p.grad.clone() for n, p in transformer.named_parameters() if p.grad is not None]


@pytest.fixture(params=["small", "large"])
def either_size(request, monkeypatch):
    """Maps of the mini model's size and larger ones are computed in two ways."""
    if request.param == "large":
        monkeypatch.setattr(attention_maps, "MAX_SMALL_SCORES", 0)


@pytest.mark.parametrize("direction", ["v2t", "t2v"])
def test_map_equals_materialised_reference(direction, either_size):
    transformer, inputs = tiny.make_transformer(), make_inputs()
    expected = reference_maps(transformer, inputs, [5, 9], direction)
    install_processors(transformer, [0, 2])
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID, direction=direction)
    transformer(**inputs, attention_kwargs={"recorder": recorder})
    assert sorted(recorder.maps) == [0, 2]
    for block in (0, 2):
        assert recorder.maps[block].shape == (2, 24)
        assert (recorder.maps[block] - expected[block]).abs().max() < 1e-6
    assert expected[0].std() > 1e-6, "a constant map would be equal by chance"
    mean = (expected[0] + expected[2]) / 2
    assert (recorder.mean_map() - mean).abs().max() < 1e-6


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_equal_materialised_reference(checkpointing, either_size):
    transformer, inputs = tiny.make_transformer(), make_inputs()
    add_lora(transformer)
    target = torch.rand(2, 24, generator=torch.Generator().manual_seed(1))
    expected_maps = reference_maps(transformer, inputs, [5, 9])
    mean = torch.stack([expected_maps[0], expected_maps[1]]).mean(0)
    expected = lora_gradients(transformer, ((mean - target) ** 2).sum())
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    install_processors(transformer, [0, 1])
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
    transformer.train()
    transformer(**inputs, attention_kwargs={"recorder": recorder})
    gradients = lora_gradients(transformer, ((recorder.mean_map() - target) ** 2).sum())
    assert len(gradients) == len(expected) > 6
    for got, want in zip(gradients, expected, strict=True):
        assert (got - want).abs().max() < 1e-6
    assert max(g.abs().max() for g in gradients) > 1e-4


def test_checkpoint_rerun_keeps_the_first_map():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    add_lora(transformer)
    transformer.enable_gradient_checkpointing()
    install_processors(transformer, [1])
    recorder = AttentionRecorder(token_index=[5, 5], grid_hw=GRID)
    transformer.train()
    output = transformer(**inputs, attention_kwargs={"recorder": recorder}, return_dict=False)[0]
    first = recorder.maps[1]
    (output.sum() + recorder.mean_map().sum()).backward()
    assert recorder.maps[1] is first


def test_reentrant_checkpointing_is_refused():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    transformer.train()

    def reentrant(function, *args):
        return torch.utils.checkpoint.checkpoint(function, *args, use_reentrant=True)

    transformer.enable_gradient_checkpointing(reentrant)
    install_processors(transformer)
    recorder = AttentionRecorder(token_index=[5, 5], grid_hw=GRID)
    with pytest.raises(ConfigError, match="must be non-reentrant"):
        transformer(**inputs, attention_kwargs={"recorder": recorder})


def test_no_recorder_is_bit_equal_to_stock():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    with torch.no_grad():
        stock = transformer(**inputs).sample
        install_processors(transformer)
        assert torch.equal(transformer(**inputs).sample, stock)
        recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
        recorded = transformer(**inputs, attention_kwargs={"recorder": recorder}).sample
    assert torch.equal(recorded, stock)


def test_no_recorder_makes_no_second_attention_call(monkeypatch):
    transformer, inputs = tiny.make_transformer(), make_inputs()
    install_processors(transformer)
    calls = []
    original = functional.scaled_dot_product_attention
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda *a, **k: calls.append(1) or original(*a, **k),
    )
    with torch.no_grad():
        transformer(**inputs)
    assert len(calls) == 3


def test_guidance_records_only_the_conditional_half():
    transformer, inputs = tiny.make_transformer(), make_inputs(batch=4)
    install_processors(transformer, [1])
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID, conditional_only=True)
    with torch.no_grad():
        expected = reference_maps(transformer, inputs, [5, 9, 5, 9])[1][2:]
        install_processors(transformer, [1])
        transformer(**inputs, attention_kwargs={"recorder": recorder})
    assert (recorder.mean_map() - expected).abs().max() < 1e-6


def test_several_slots_come_from_one_call():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    install_processors(transformer, [2])
    both = AttentionRecorder(token_index=[[5, 1], [9, 0]], grid_hw=GRID)
    with torch.no_grad():
        transformer(**inputs, attention_kwargs={"recorder": both})
        for slot, index in enumerate(([5, 9], [1, 0])):
            single = AttentionRecorder(token_index=index, grid_hw=GRID)
            transformer(**inputs, attention_kwargs={"recorder": single})
            assert torch.allclose(both.maps[2][:, slot], single.maps[2], atol=1e-7)
    assert both.mean_map().shape == (2, 2, 24)


def test_step_mean_folds_only_chosen_steps_and_blocks():
    transformer = tiny.make_transformer()
    install_processors(transformer)
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID, blocks=[0, 1], steps=[0, 2])
    maps = []
    with torch.no_grad():
        for step in range(3):
            inputs = make_inputs(seed=step)
            transformer(**inputs, attention_kwargs={"recorder": recorder})
            assert sorted(recorder.maps) == ([] if step == 1 else [0, 1])
            if recorder.maps:
                maps.append(recorder.mean_map())
            recorder.end_step()
    assert torch.allclose(recorder.step_mean(), (maps[0] + maps[1]) / 2)


def test_compiled_blocks_record_the_same_map():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    install_processors(transformer, [1])
    eager = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
    transformer(**inputs, attention_kwargs={"recorder": eager})
    transformer.transformer_blocks[1].compile(backend="aot_eager")
    compiled = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
    transformer(**inputs, attention_kwargs={"recorder": compiled})
    assert (compiled.mean_map() - eager.mean_map()).abs().max() < 1e-6
    compiled.mean_map().sum().backward()
    assert transformer.transformer_blocks[0].attn1.to_q.weight.grad is not None


def test_compiled_checkpointed_model_with_lora_gives_the_same_gradients():
    transformer, inputs = tiny.make_transformer(num_layers=1), make_inputs()
    add_lora(transformer)
    install_processors(transformer)
    transformer.train()
    results = []
    for is_compiled in (False, True):
        if is_compiled:
            transformer.enable_gradient_checkpointing()
            transformer.compile(backend="aot_eager")
        recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
        transformer.zero_grad()
        transformer(**inputs, attention_kwargs={"recorder": recorder})
        recorder.mean_map().square().sum().backward()
        layer = transformer.transformer_blocks[0].attn1.to_k.lora_A["default"]
        results.append(layer.weight.grad.clone())
    assert (results[0] - results[1]).abs().max() < 1e-6 < results[0].abs().max()


def test_autocast_keeps_the_map_to_half_precision():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    expected = reference_maps(transformer, inputs, [5, 9])[1]
    install_processors(transformer, [1])
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
    with torch.autocast("cpu", torch.bfloat16):
        transformer(**inputs, attention_kwargs={"recorder": recorder})
    assert recorder.maps[1].dtype == torch.float32
    assert (recorder.maps[1] / expected - 1).abs().max() < 5e-2


def test_installing_again_moves_the_blocks_and_adds_no_second_hook():
    transformer, inputs = tiny.make_transformer(), make_inputs()
    install_processors(transformer, [0])
    install_processors(transformer, [2])
    assert len(transformer._forward_pre_hooks) == 1
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
    with torch.no_grad():
        transformer(**inputs, attention_kwargs={"recorder": recorder})
    assert list(recorder.maps) == [2]


@pytest.mark.parametrize("blocks", [[], [3], [-1]])
def test_blocks_outside_the_model_are_refused(blocks):
    with pytest.raises(ConfigError, match=r"blocks must be indices in 0\.\.2"):
        install_processors(tiny.make_transformer(), blocks)


@pytest.mark.parametrize("token_index", [[], [[[1]]], [-1]])
def test_malformed_token_index_is_refused(token_index):
    with pytest.raises(ShapeError, match="token_index must hold positions"):
        AttentionRecorder(token_index=token_index, grid_hw=GRID)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token_index": [5]}, "one row per sample"),
        ({"token_index": [5, NUM_TEXT]}, "must lie in 0..23, got 24"),
        ({"token_index": [5, 5], "grid_hw": (40, 60)}, "grid_hw must fit into 72 video tokens"),
    ],
)
def test_recorder_for_another_batch_or_grid_is_refused(options, message):
    transformer = tiny.make_transformer()
    install_processors(transformer)
    recorder = AttentionRecorder(**{"grid_hw": GRID, **options})
    with pytest.raises(ShapeError, match=message):
        transformer(**make_inputs(), attention_kwargs={"recorder": recorder})


def test_unknown_direction_is_refused():
    with pytest.raises(ConfigError, match="direction must be one of"):
        AttentionRecorder(token_index=[5], grid_hw=GRID, direction="both")


def test_reading_before_any_pass_is_refused():
    recorder = AttentionRecorder(token_index=[5], grid_hw=GRID)
    with pytest.raises(NotReadyError, match="must have seen a pass"):
        recorder.mean_map()
    with pytest.raises(NotReadyError, match="must have ended a recorded step"):
        recorder.step_mean()


def test_processors_without_install_are_refused():
    transformer = tiny.make_transformer()
    transformer.set_attn_processor(TargetAttnProcessor(0))
    recorder = AttentionRecorder(token_index=[5, 9], grid_hw=GRID)
    with pytest.raises(NotReadyError, match="install_processors"):
        transformer(**make_inputs(), attention_kwargs={"recorder": recorder})
