"""The optimizers of a run: who gets which parameters, and that a resumed one is the same."""

import sys

import pytest
import torch
from torch import nn

from tavid_core.errors import ConfigError, MissingExtraError
from tests.tiny import make_text_encoder
from training.optimizers import build_optimizer
from training.sharding import scatter_optimizer
from training.texts import TrainedTokens


def small_model() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "shared": nn.Embedding(5, 4),
            "hidden": nn.Linear(4, 6),
            "proj_out": nn.Linear(6, 2),
        }
    )


def train(model: nn.ModuleDict, optimizer, steps: int) -> float:
    ids = torch.arange(5)
    goal = torch.linspace(-1, 1, 10).reshape(5, 2)
    for _ in range(steps):
        output = model["proj_out"](torch.tanh(model["hidden"](model["shared"](ids))))
        loss = (output - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def list_tensors(tree):
    if isinstance(tree, dict):
        return [tensor for value in tree.values() for tensor in list_tensors(value)]
    return [tree] if isinstance(tree, torch.Tensor) else []


def test_muon_takes_hidden_matrices_alone():
    model = small_model()
    group = build_optimizer("muon", dict(model.named_parameters()), 1e-2, 0.0)
    adamw, muon = group.optimizers
    (matrix,) = muon.param_groups[0]["params"]
    assert matrix is model["hidden"].weight
    assert len(adamw.param_groups[0]["params"]) == 4


def test_trained_rows_of_a_table_are_no_hidden_matrix():
    """Equal singular values would mix the slot tokens with one another."""
    tokens = TrainedTokens(make_text_encoder(), [3, 4])
    named = {f"tokens.{name}": p for name, p in tokens.named_parameters() if p.requires_grad}
    assert list(named) == ["tokens.rows_SD"]
    hidden = nn.Parameter(torch.zeros(4, 4))
    group = build_optimizer("muon", {**named, "transformer.to_q.lora_A": hidden}, 1e-2, 0.0)
    assert [o.param_groups[0]["params"][0] is hidden for o in group.optimizers] == [False, True]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_both_lower_the_loss(name):
    model = small_model()
    group = build_optimizer(name, dict(model.named_parameters()), 1e-2, 0.0)
    first = train(model, group, 1)
    assert train(model, group, 60) < 0.5 * first


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_state_round_trip_goes_on_bit_for_bit(name, tmp_path):
    straight, resumed = small_model(), small_model()
    group = build_optimizer(name, dict(straight.named_parameters()), 1e-2, 0.01)
    train(straight, group, 6)

    half = build_optimizer(name, dict(resumed.named_parameters()), 1e-2, 0.01)
    train(resumed, half, 3)
    torch.save(half.state_dict(), tmp_path / "optimizer.pt")
    again = build_optimizer(name, dict(resumed.named_parameters()), 1e-2, 0.01)
    again.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    train(resumed, again, 3)
    for key, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_states_of_8_bits_come_back_bit_for_bit(tmp_path):
    pytest.importorskip("bitsandbytes", reason="needs pip install 'tavid[bnb]'")

    def wide_model():
        torch.manual_seed(0)
        # bitsandbytes keeps the states of fewer than 4,096 numbers in 32 bits.
        sizes = {"shared": nn.Embedding(5, 64), "hidden": nn.Linear(64, 128)}
        return nn.ModuleDict({**sizes, "proj_out": nn.Linear(128, 2)})

    straight, resumed = wide_model(), wide_model()
    group = build_optimizer("adamw8bit", dict(straight.named_parameters()), 1e-2, 0.01)
    first = train(straight, group, 1)
    assert train(straight, group, 5) < first

    half = build_optimizer("adamw8bit", dict(resumed.named_parameters()), 1e-2, 0.01)
    train(resumed, half, 3)
    state = half.state_dict()
    assert torch.uint8 in {tensor.dtype for tensor in list_tensors(state)}
    torch.save(state, tmp_path / "optimizer.pt")
    again = build_optimizer("adamw8bit", dict(resumed.named_parameters()), 1e-2, 0.01)
    loaded = torch.load(tmp_path / "optimizer.pt", weights_only=True)
    # The way of a run that goes on.
    again.load_state_dict(scatter_optimizer(loaded, again.optimizers))
    train(resumed, again, 3)
    for key, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_learning_rate_reaches_every_group():
    group = build_optimizer("muon", dict(small_model().named_parameters()), 1e-2, 0.0)
    group.set_learning_rate(3e-4)
    rates = {g["lr"] for optimizer in group.optimizers for g in optimizer.param_groups}
    assert rates == {3e-4}


def test_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="must be one of adamw, muon, adamw8bit, got sgd"):
        build_optimizer("sgd", dict(small_model().named_parameters()), 1e-2, 0.0)


def test_state_of_the_other_kind_is_refused():
    parameters = dict(small_model().named_parameters())
    state = build_optimizer("adamw", parameters, 1e-2, 0.0).state_dict()
    with pytest.raises(ConfigError, match="must hold the state of 2 optimizers, got 1"):
        build_optimizer("muon", parameters, 1e-2, 0.0).load_state_dict(state)


def test_missing_bitsandbytes_is_told_with_its_extra(monkeypatch):
    for name in ("bitsandbytes", "bitsandbytes.optim"):
        monkeypatch.setitem(sys.modules, name, None)
    parameters = {"weight": nn.Parameter(torch.zeros(2, 2))}
    with pytest.raises(MissingExtraError, match=r"pip install 'tavid\[bnb\]'"):
        build_optimizer("adamw8bit", parameters, 0.1, 0.0)
