"""Spread weights, in a group of one process; tests of two are in test_finetune_processes."""

import copy

import pytest
import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from training.sharding import copy_whole, gather, scatter_optimizer, shard


@pytest.fixture
def group(tmp_path):
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_state_is_gathered_and_spread_again(group):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    spread = shard(copy.deepcopy(plain), torch.device("cpu"), 1)
    assert all(isinstance(parameter, DTensor) for parameter in spread.parameters())
    optimizer = torch.optim.AdamW(spread.parameters(), lr=0.1)
    spread(torch.ones(5, 4)).sum().backward()
    optimizer.step()
    whole = gather({"model": dict(spread.named_parameters()), "list": [1, (2, "text")]})
    assert whole["list"] == [1, (2, "text")]
    assert not any(isinstance(value, DTensor) for value in whole["model"].values())
    state = gather({"0": optimizer.state_dict()})
    again = scatter_optimizer(state, [optimizer])["0"]["state"]
    for index, parameter in enumerate(spread.parameters()):
        assert isinstance(again[index]["exp_avg"], DTensor)
        assert torch.equal(gather(again[index]["exp_avg"]), state["0"]["state"][index]["exp_avg"])
        with torch.no_grad():
            copy_whole(parameter, torch.full(parameter.shape, 2.0))
        assert (gather(parameter) == 2.0).all()
