import dataclasses
import json
import math
import re
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tavid_core.errors import CanceledError, ConfigError, NonFiniteError
from training.loop_config import LoopConfig
from training.trainer import TrainingLoop, run_loop

CONFIG = LoopConfig(num_steps=12, learning_rate=0.05, warmup_steps=2, save_every=4, seed=3)


def make_model():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def make_loss(model, stop_at=None):
    def loss_of(step, generator):
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(8, 3, generator=generator)
        return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    return loss_of


def train(folder, stop_at=None, config=CONFIG):
    model = make_model()
    return run_loop(config, folder, {"model": model}, make_loss(model, stop_at), title="test")


def test_it_learns(tmp_path):
    train(tmp_path, config=dataclasses.replace(CONFIG, num_steps=60))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.2 * lines[0]["loss"]


def test_the_bar_tells_losses_gradient_norm_samples_per_second_and_memory(tmp_path, capsys):
    train(tmp_path)
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(r"test: 100%.* 12/12 .*loss=\d+\.\d{4}, grad_norm=\d+\.\d{4}", last)
    samples, peak = re.search(r"samples/s=([\d.e+]+), peak=([\d.]+) GiB", last).groups()
    assert float(samples) > 0
    assert 0.1 <= float(peak) < 100, "of this process"


@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(tmp_path, stop_at):
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", stop_at)
    resumed = train(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_without_an_average_the_last_weights_are_the_result(tmp_path):
    config = dataclasses.replace(CONFIG, ema_decay=0.0)
    model = make_model()
    result = run_loop(config, tmp_path, {"model": model}, make_loss(model), title="test")
    assert torch.equal(result["model.weight"], model.weight)
    # Once in memory, once in a checkpoint, and a run goes on from it.
    newest = max(tmp_path.glob("step_*")) / "weights.safetensors"
    assert not [name for name in load_file(newest) if name.startswith("average.")]
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "part", stop_at=9, config=config)
    resumed = train(tmp_path / "part", config=config)
    assert torch.equal(resumed["model.weight"], model.weight)


def test_a_checkpoint_of_other_parameters_is_refused(tmp_path):
    train(tmp_path)
    model, critic = make_model(), make_model()
    with pytest.raises(ConfigError, match=r"differs in critic\.bias and 1 more\. Name another run"):
        run_loop(CONFIG, tmp_path, {"model": model, "critic": critic}, make_loss(model), title="t")


def test_running_statistics_are_resumed_too(tmp_path):
    def train_normed(folder, stop_at=None):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        try:
            run_loop(CONFIG, folder, {"model": model}, make_loss(model, stop_at), title="test")
        except KeyboardInterrupt:
            return None
        return model.state_dict()

    whole = train_normed(tmp_path / "whole")
    assert train_normed(tmp_path / "broken", 9) is None
    resumed = train_normed(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", 9)
    newest = max((tmp_path / "broken").glob("step_*"))
    damaged = bytearray((newest / "weights.safetensors").read_bytes())
    damaged[-1] ^= 1
    (newest / "weights.safetensors").write_bytes(bytes(damaged))
    resumed = train(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_torn_save_leaves_no_checkpoint(tmp_path):
    (tmp_path / ".step_0000004.part").mkdir()
    train(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("step_*")) == ["step_0000008", "step_0000012"]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    model = make_model()

    def loss_of(_, __):
        return {"loss": model.weight.sum() * float("nan")}

    with pytest.raises(NonFiniteError, match="loss must be finite, got nan at step 0"):
        run_loop(CONFIG, tmp_path, {"model": model}, loss_of, title="test")


def test_bad_numbers_are_refused():
    with pytest.raises(ConfigError, match="num_steps and save_every must be at least 1"):
        LoopConfig(num_steps=0, learning_rate=0.1)
    for name, value in (
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("max_grad_norm", math.inf),
    ):
        with pytest.raises(ConfigError, match=f"{name} must be positive and finite, got"):
            LoopConfig(**{"num_steps": 1, "learning_rate": 0.1, name: value})
    for name, value in (("warmup_steps", -1), ("weight_decay", math.nan), ("max_minutes", -1.0)):
        with pytest.raises(ConfigError, match=f"{name} must be finite and 0 or more, got"):
            LoopConfig(num_steps=1, learning_rate=0.1, **{name: value})
    with pytest.raises(ConfigError, match="optimizer must be one of adamw, muon, adamw8bit, got"):
        LoopConfig(num_steps=1, learning_rate=0.1, optimizer="sgd")


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path):
    """The loss may be finite where its gradient is not: the square root at zero."""
    model = make_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]

    def loss_of(step, generator):
        return {"loss": (0.0 * sum(p.sum() for p in model.parameters())).abs().sqrt()}

    with pytest.raises(NonFiniteError, match="gradient must be finite, got a norm of nan"):
        run_loop(CONFIG, tmp_path, {"model": model}, loss_of, title="test")
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), before, strict=True))


def test_a_signal_after_the_last_step_is_not_a_success(tmp_path):
    """What follows a step, a validation, was cut short; the run said that it was done."""
    told = []

    def after_save(report):
        told.append(report.step)
        if report.step == CONFIG.num_steps and len(told) == CONFIG.num_steps:
            signal.raise_signal(signal.SIGTERM)
            assert report.should_stop()

    def run():
        model = make_model()
        losses = make_loss(model)
        loop = TrainingLoop(CONFIG, tmp_path, {"model": model}, title="test")
        return loop.run(
            lambda step, _: losses(step, torch.Generator().manual_seed(step)), after_save
        )

    with pytest.raises(CanceledError, match="got a signal at step"):
        run()
    # Resumed, it is told of that step once more, and trains no other.
    assert run().num_steps == CONFIG.num_steps
    assert told[-2:] == [CONFIG.num_steps] * 2
    assert len(told) == CONFIG.num_steps + 1


def train_in_parts(folder, signal_at=None):
    """Four micro-batches a step, each a function of step and samples; a signal comes in one."""
    model, calls = make_model(), []

    def loss_of(step, indices):
        calls.append((step, indices[0] // 2))
        if calls[-1] == signal_at:
            signal.raise_signal(signal.SIGTERM)
        generator = torch.Generator().manual_seed(100 * step + indices[0])
        return make_loss(model)(step, generator)

    loop = TrainingLoop(
        CONFIG, folder, {"model": model}, title="test", batch_size=8, micro_batch_size=2
    )
    return calls, lambda: loop.run(loss_of).weights


@pytest.mark.parametrize(
    ("signal_at", "saved"), [((0, 0), 0), ((5, 1), 5), ((8, 2), 8), ((9, 3), 10)]
)
def test_a_signal_is_obeyed_after_the_micro_batch_and_no_bit_is_lost(tmp_path, signal_at, saved):
    """A step of the paper's recipe takes over a minute, a micro-batch of it a quarter of that."""
    _, run = train_in_parts(tmp_path / "whole")
    whole = run()
    calls, run = train_in_parts(tmp_path / "broken", signal_at)
    with pytest.raises(CanceledError, match=f"got a signal at step {saved}. It is saved"):
        run()
    assert calls[-1] == signal_at, "no micro-batch after it"
    assert max(path.name for path in (tmp_path / "broken").glob("step_*")) == f"step_{saved:07d}"
    _, run = train_in_parts(tmp_path / "broken")
    resumed = run()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    lines = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").open()]
    assert [line["step"] for line in lines] == list(range(CONFIG.num_steps))
