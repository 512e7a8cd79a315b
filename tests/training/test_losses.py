import pytest
import torch

from training.losses import diffusion_loss, frame_loss, noisy_latents
from training.mini import build_scheduler


def test_a_perfect_prediction_costs_nothing():
    scheduler, generator = build_scheduler(), torch.Generator().manual_seed(0)
    latents = torch.randn(3, 2, 4, 5, 6, generator=generator)
    timesteps = torch.tensor([1, 500, 998])
    noise = torch.randn(latents.shape, generator=generator)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    velocity = scheduler.get_velocity(latents, noise, timesteps)
    loss = diffusion_loss(scheduler, velocity, noisy, latents, timesteps)
    assert loss.item() == pytest.approx(0.0, abs=1e-4)


def test_the_weighted_x0_loss_is_the_v_loss():
    scheduler, generator = build_scheduler(), torch.Generator().manual_seed(1)
    latents = torch.randn(4, 2, 4, 5, 6, generator=generator)
    timesteps = torch.tensor([20, 300, 700, 999])
    noise = torch.randn(latents.shape, generator=generator)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    prediction = torch.randn(latents.shape, generator=generator)
    velocity = scheduler.get_velocity(latents, noise, timesteps)
    expected = (prediction - velocity).square().mean()
    loss = diffusion_loss(scheduler, prediction, noisy, latents, timesteps)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)


def test_noise_is_a_function_of_the_generator():
    scheduler, latents = build_scheduler(), torch.zeros(2, 2, 4, 5, 6)
    first = noisy_latents(scheduler, latents, torch.Generator().manual_seed(5))
    again = noisy_latents(scheduler, latents, torch.Generator().manual_seed(5))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_frame_loss_weighs_what_moves():
    # A change too faint to stand out from what is around it.
    truth = torch.zeros(1, 3, 2, 32, 32)
    truth[:, :, 1, 0, 0] = 0.2
    still, moving = truth.clone(), truth.clone()
    still[:, :, 1, 31, 31] += 0.1
    moving[:, :, 1, 0, 0] += 0.1
    assert frame_loss(truth, truth, edge_weight=1.0).item() == 0.0
    ratio = frame_loss(moving, truth) / frame_loss(still, truth)
    assert ratio.item() == pytest.approx(5.0)


def test_frame_loss_weighs_what_stands_out():
    truth = torch.zeros(1, 3, 2, 32, 32)
    truth[..., 4:6, 4:6] = 0.8
    wall, thing = truth.clone(), truth.clone()
    wall[..., 30, 30] += 0.1
    thing[..., 4, 4] += 0.1
    ratio = frame_loss(thing, truth) / frame_loss(wall, truth)
    assert ratio.item() == pytest.approx(5.0)


def test_one_channel_far_off_costs_more_than_three_a_little():
    truth = torch.zeros(1, 3, 2, 32, 32)
    orange, grey = truth.clone(), truth.clone()
    orange[:, 1] -= 0.3
    grey -= 0.1
    assert frame_loss(orange, truth) > 1.3 * frame_loss(grey, truth)


def test_edge_weight_tells_blur_from_a_shift_of_colour():
    truth = torch.zeros(1, 3, 2, 4, 4)
    truth[..., 2:] = 1.0
    # Of x + 2 x^2 this has as much as half of the pixels have with 0.5.
    shifted = truth + (5**0.5 - 1) / 4
    blurred = truth.clone()
    blurred[..., 1], blurred[..., 2] = 0.5, 0.5
    assert frame_loss(shifted, truth).item() == pytest.approx(frame_loss(blurred, truth).item())
    edges = [
        frame_loss(x, truth, edge_weight=1.0) - frame_loss(x, truth) for x in (shifted, blurred)
    ]
    assert edges[0].item() == pytest.approx(0.0, abs=1e-6)
    assert edges[1].item() > 0.1
