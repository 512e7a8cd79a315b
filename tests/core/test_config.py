"""Settings outside what model or node can do are refused with their value."""

from __future__ import annotations

import pytest

from tavid_core.config import PlannerConfig, PromptConfig, SamplerConfig, slot_placeholder
from tavid_core.errors import ConfigError


def test_defaults_are_the_papers():
    sampler = SamplerConfig()
    assert (sampler.num_inference_steps, sampler.guidance_scale, sampler.num_frames) == (
        50,
        6.0,
        49,
    )
    assert sampler.use_dynamic_guidance
    assert PromptConfig().slot_words == ("target",)
    assert PlannerConfig().model == "mini"


def test_slots_have_placeholders():
    assert [slot_placeholder(slot) for slot in range(4)] == ["target", "actor", "slot_3", "slot_4"]
    config = PromptConfig(slot_words=("[TGT]", "[SRC]"), sentence="{actor} takes {target}.")
    assert config.num_slots == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slot_words": ()}, "slot_words must be words without spaces"),
        ({"slot_words": ("",)}, "slot_words must be words without spaces"),
        ({"slot_words": ("the target",)}, "slot_words must be words without spaces"),
        (
            {"slot_words": ("a", "a"), "sentence": "{target} {actor}"},
            "slot_words must differ from each other",
        ),
        ({"sentence_position": "middle"}, "sentence_position must be 'prepend' or 'append'"),
        ({"sentence": "Nothing here."}, r"sentence must hold each of \['target'\] once"),
        ({"sentence": "{target} and {target}"}, "sentence must hold each of"),
        ({"sentence": "{target} and {actor}"}, "sentence must hold each of"),
        ({"sentence": "{target!r}"}, "sentence must hold each of"),
        ({"sentence": "{target:>20}"}, "sentence must hold each of"),
        ({"sentence": "{target.__class__}"}, "sentence must hold each of"),
        ({"sentence": "{{target}} {target}"}, "sentence must hold single braces only"),
        ({"sentence": "{target"}, "sentence must have balanced braces"),
    ],
)
def test_prompt_config_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        PromptConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_inference_steps": 0}, r"num_inference_steps must be in 1\.\.1000, got 0"),
        ({"num_inference_steps": 1001}, "num_inference_steps must be"),
        ({"guidance_scale": -1.0}, r"guidance_scale must be in 0\.\.30, got -1"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be"),
        ({"num_frames": 1}, r"num_frames must be 8n\+1 with n >= 1, got 1"),
        ({"num_frames": 16}, "num_frames must be"),
    ],
)
def test_sampler_config_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        SamplerConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "model must name a model"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"offload": "disk"}, "offload must be one of"),
        ({"offload": "model"}, "offload must be 'none' on device 'cpu'"),
    ],
)
def test_planner_config_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        PlannerConfig(**changes)


def test_offload_is_for_accelerators():
    assert PlannerConfig(device="cuda:1", offload="sequential").offload == "sequential"
