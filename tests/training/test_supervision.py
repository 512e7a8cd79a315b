"""The attention loss and the choice of blocks."""

import collections

import pytest
import torch

from tavid_core.errors import ConfigError
from training.supervision import SupervisionConfig, attention_loss


def test_attention_loss_is_zero_when_the_map_is_the_mask():
    mask = torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    # The size of softmax weights does not matter, only their order and spread.
    assert attention_loss(1e-5 + 2e-4 * mask, mask).item() == pytest.approx(0.0, abs=1e-6)


def test_attention_loss_pulls_the_map_into_the_mask():
    mask = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    logits = torch.tensor([[0.3, 0.1, 0.2, 0.5]], requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        attention_loss(logits.softmax(-1), mask).backward()
        optimizer.step()
    assert logits.argmax().item() == 1
    assert attention_loss(logits.softmax(-1), mask).item() < 0.05


def test_normalization_over_the_batch_keeps_a_faint_map_faint():
    mask = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    maps = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    assert attention_loss(maps, mask, "sample_min_max").item() == pytest.approx(0.0)
    assert attention_loss(maps, mask, "batch_min_max").item() == pytest.approx(0.0625)
    assert attention_loss(10 * maps, mask, "none").item() == pytest.approx((81 + 16) / 4)


def test_slots_are_normalized_one_by_one():
    mask = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    maps = torch.tensor([[[0.1, 0.2], [0.009, 0.001]]])
    assert attention_loss(maps, mask).item() == pytest.approx(0.0, abs=1e-6)


def test_random_draws_as_many_as_asked_from_the_pool():
    config = SupervisionConfig(blocks=(5, 6, 7, 8), num_blocks=2)
    generator = torch.Generator().manual_seed(0)
    drawn = [config.draw(12, generator) for _ in range(200)]
    assert {len(set(blocks)) for blocks in drawn} == {2}
    counts = collections.Counter(block for blocks in drawn for block in blocks)
    assert set(counts) == {5, 6, 7, 8}
    assert min(counts.values()) > 60


def test_other_choices_are_the_same_in_every_step():
    generator = torch.Generator().manual_seed(0)
    fixed = SupervisionConfig(blocks=(20, 5, 11), choice="fixed")
    assert fixed.draw(42, generator) == [5, 11, 20]
    uniform = SupervisionConfig(choice="uniform", num_blocks=4)
    assert uniform.draw(10, generator) == [1, 3, 6, 8]
    assert uniform.draw(4, generator) == [0, 1, 2, 3]
    # Not the first and the last block, which are the odd ones.
    assert SupervisionConfig(choice="uniform", num_blocks=2).draw(6, generator) == [1, 4]
    assert SupervisionConfig(choice="all").draw(3, generator) == [0, 1, 2]


def test_blocks_that_the_model_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="must be below the model's 6 blocks, got 23"):
        SupervisionConfig().check(6)
    with pytest.raises(ConfigError, match=r"num_blocks_per_step must be in 1\.\.6, got 7"):
        SupervisionConfig(choice="uniform").check(6)
    SupervisionConfig(choice="all").check(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": -1.0}, "attention_weight must be 0 or more"),
        ({"weight": float("nan")}, "attention_weight must be 0 or more"),
        ({"choice": "some"}, "block_choice must be one of random, fixed, uniform, all"),
        ({"direction": "t2t"}, "attention_direction must be one of"),
        ({"normalization": "max"}, "map_normalization must be one of"),
        ({"blocks": ()}, "attention_blocks must be different blocks"),
        ({"blocks": (1, 1)}, "attention_blocks must be different blocks"),
        ({"num_blocks": 20}, "num_blocks_per_step must be in 1..19, got 20"),
    ],
)
def test_unusable_fields_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        SupervisionConfig(**fields)
