"""Samples are functions of (seed, step, index)."""

import torch

from training.cache import LatentCache
from training.samples import SampleDrawer, make_generator

NUM_CLIPS = 5


def make_drawer(seed=0, batch_size=4, image_dropout=0.3):
    # Each clip's latents are its number; each conditioning image is a tenth more.
    latents = torch.arange(NUM_CLIPS).float().view(-1, 1, 1, 1, 1).expand(-1, 2, 4, 3, 3).clone()
    cache = LatentCache(
        latents_NFCHW=latents,
        images_NKCHW=latents[:, :1] + torch.tensor([0.1, 0.2]).view(1, 2, 1, 1, 1),
        masks_NSHW=torch.zeros(NUM_CLIPS, 1, 6, 6, dtype=torch.uint8),
        captions=("a",) * NUM_CLIPS,
    )
    options = {"batch_size": batch_size, "num_timesteps": 1000, "image_dropout": image_dropout}
    return SampleDrawer(cache, seed=seed, **options)


def draw(drawer, step, indices):
    return drawer.draw(step, indices, torch.device("cpu"))


def test_it_does_not_matter_how_a_batch_is_divided():
    whole = draw(make_drawer(), 7, range(4))
    parts = [draw(make_drawer(), 7, indices) for indices in ([0], [1, 2], [3])]
    for name in ("clips_B", "latents_BFCHW", "image_BFCHW", "noise_BFCHW", "timesteps_B"):
        together = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(getattr(whole, name), together), name


def test_samples_differ_by_seed_step_and_index():
    one = draw(make_drawer(), 7, range(4))
    for other in (draw(make_drawer(seed=1), 7, range(4)), draw(make_drawer(), 8, range(4))):
        assert not torch.equal(one.noise_BFCHW, other.noise_BFCHW)
    assert len({float(noise.sum()) for noise in one.noise_BFCHW}) == 4


def test_an_epoch_takes_each_clip_once_and_the_next_in_another_order():
    drawer = make_drawer(batch_size=NUM_CLIPS)
    epochs = [draw(drawer, step, range(NUM_CLIPS)).clips_B.tolist() for step in range(6)]
    assert all(sorted(epoch) == list(range(NUM_CLIPS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_conditioning_images_are_the_clips_own_and_sometimes_dropped():
    drawer = make_drawer()
    shares = []
    for step in range(100):
        batch = draw(drawer, step, range(4))
        assert (batch.image_BFCHW[:, 1:] == 0).all()
        first = batch.image_BFCHW[:, 0, 0, 0, 0]
        added = first - batch.clips_B
        is_dropped = first == 0
        assert all(round(float(a), 3) in (0.1, 0.2) for a in added[~is_dropped])
        shares += is_dropped.tolist()
    assert 0.2 < sum(shares) / len(shares) < 0.4


def test_generators_depend_on_all_of_their_key():
    first = {
        key: float(torch.rand((), generator=make_generator(*key)))
        for key in [(0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1), (0, 1, 2, 0)]
    }
    assert len(set(first.values())) == len(first)
