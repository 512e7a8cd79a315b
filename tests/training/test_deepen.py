"""A deepened transformer predicts what the shallow one did, and its new blocks learn."""

import json

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel

from tavid_core.errors import ConfigError
from tests import tiny
from training.batches import rotary_embedding
from training.deepen import deepen_transformer, main


@pytest.fixture(scope="module")
def shallow():
    torch.manual_seed(5)
    transformer = tiny.make_transformer(num_layers=3).eval()
    # As training leaves it: with a fresh one, gates that were forgotten would hardly show.
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    return transformer


def _predict(transformer):
    config, generator = transformer.config, torch.Generator().manual_seed(1)
    num_frames = (config.sample_frames - 1) // 4 + 1
    shape = (2, num_frames, config.in_channels, config.sample_height, config.sample_width)
    return transformer(
        hidden_states=torch.randn(shape, generator=generator),
        encoder_hidden_states=torch.randn(
            2, config.max_text_seq_length, config.text_embed_dim, generator=generator
        ),
        timestep=torch.tensor([10, 700]),
        image_rotary_emb=rotary_embedding(transformer, num_frames),
        return_dict=False,
    )[0]


@pytest.mark.parametrize("num_layers", [4, 5, 6])
@torch.no_grad()
def test_predictions_stay(shallow, num_layers):
    deep = deepen_transformer(shallow, num_layers)
    assert len(deep.transformer_blocks) == deep.config.num_layers == num_layers
    assert len(shallow.transformer_blocks) == 3
    assert torch.allclose(_predict(deep), _predict(shallow), atol=1e-5)


def test_new_blocks_are_the_last_ones_again_with_shut_gates(shallow):
    deep = deepen_transformer(shallow, 5)
    for new, origin in ((3, 1), (4, 2)):
        blocks = deep.transformer_blocks[new], shallow.transformer_blocks[origin]
        queries = [block.attn1.to_q.weight for block in blocks]
        assert torch.equal(*queries)
        shift, scale, gate, *of_text = deep.transformer_blocks[new].norm1.linear.weight.chunk(6)
        assert shift.any()
        assert scale.any()
        assert not gate.any()
        assert not of_text[2].any()


def test_the_gates_open_from_the_first_step_on(shallow):
    deep = deepen_transformer(shallow, 4)
    _predict(deep).square().mean().backward()
    for norm in (deep.transformer_blocks[3].norm1, deep.transformer_blocks[3].norm2):
        assert norm.linear.weight.grad.chunk(6)[2].abs().sum() > 0


@pytest.mark.parametrize("num_layers", [0, 3, 7])
def test_fewer_or_far_more_are_refused(shallow, num_layers):
    with pytest.raises(ConfigError, match=rf"num_layers must be in 4..6, got {num_layers}"):
        deepen_transformer(shallow, num_layers)


def test_the_command_saves_a_base_that_loads(tmp_path, capsys):
    tiny.make_pipeline(num_layers=2).save_pretrained(tmp_path / "base")
    assert main([str(tmp_path / "base"), str(tmp_path / "deep"), "--blocks", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"] == 3
    deep = CogVideoXTransformer3DModel.from_pretrained(tmp_path / "deep" / "transformer")
    assert deep.config.num_layers == 3


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), str(tmp_path / "deep"), "--blocks", "3"]) == 2
    tiny.make_pipeline(num_layers=2).save_pretrained(tmp_path / "base")
    assert main([str(tmp_path / "base"), str(tmp_path / "deep"), "--blocks", "2"]) == 2
    assert "num_layers must be in 3..4, got 2" in capsys.readouterr().err
