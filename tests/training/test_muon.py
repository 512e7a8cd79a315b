"""Our Muon is torch's, but for the rounding of its updates."""

import pytest
import torch

from training.muon import ExactMuon


def _train(kind, shape, **options):
    generator = torch.Generator().manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(shape, generator=generator))
    optimizer = kind([parameter], lr=1e-2, weight_decay=0.1, **options)
    for _ in range(5):
        parameter.grad = torch.randn(shape, generator=generator)
        optimizer.step()
    return parameter.detach(), optimizer


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_it_goes_where_torchs_goes(shape):
    ours, _ = _train(ExactMuon, shape)
    theirs, _ = _train(torch.optim.Muon, shape, adjust_lr_fn="match_rms_adamw")
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    # bfloat16 has three digits.
    assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


def test_an_update_is_near_a_rotation():
    parameter = torch.nn.Parameter(torch.zeros(8, 20))
    optimizer = ExactMuon([parameter], lr=1.0, weight_decay=0.0)
    parameter.grad = torch.randn(8, 20, generator=torch.Generator().manual_seed(1))
    optimizer.step()
    # Muon's polynomial brings singular values to about 0.7 to 1.2, not to 1.
    values = torch.linalg.svdvals(parameter.detach()) / (0.2 * 20**0.5)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


def test_its_state_is_read_by_torchs_and_the_other_way_round():
    parameter, ours = _train(ExactMuon, (6, 4))
    theirs = torch.optim.Muon([torch.nn.Parameter(parameter)], lr=1e-2)
    theirs.load_state_dict(ours.state_dict())
    again = ExactMuon([torch.nn.Parameter(parameter)], lr=1e-2)
    again.load_state_dict(theirs.state_dict())
    buffers = [o.state_dict()["state"][0]["momentum_buffer"] for o in (ours, theirs, again)]
    assert torch.equal(buffers[0], buffers[1])
    assert torch.equal(buffers[0], buffers[2])
