"""Batches imagine what single requests do."""

import contextlib

import numpy as np
import pytest

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.model_card import ModelCard
from tavid_core.planner_sampler import RolloutSampler
from tavid_core.progress import ProgressReporter
from tavid_core.types import PlanRequest
from tests.tiny import NUM_FRAMES, make_image, make_mask, make_pipeline
from training.rollouts import imagine_batches


def make_request(seed):
    return PlanRequest(
        image=make_image(seed),
        target_mask=make_mask(left=seed % 2 == 0),
        prompt="the hand lifts the red mug." if seed else "the arm pushes the blue box.",
        seed=seed,
        num_inference_steps=2,
    )


@pytest.fixture(scope="module", params=[0, 1], ids=["base", "adapter"])
def sampler(request):
    num_slots = request.param
    manifest = None
    if num_slots:
        manifest = AdapterManifest(base_model="tiny", attention_blocks=(0, 1), lora_rank=1)
    card = ModelCard(num_frames=NUM_FRAMES)
    return RolloutSampler(make_pipeline(num_mask_slots=num_slots), manifest, card)


def test_a_batch_gives_what_each_request_gives_alone(sampler):
    requests = [make_request(seed) for seed in range(3)]
    imagined = list(imagine_batches(sampler, requests, batch_size=2))
    assert len(imagined) == 3
    for request, clip in zip(requests, imagined, strict=True):
        alone = sampler.sample(request, ProgressReporter(None, None))
        difference = np.abs(clip.frames.astype(int) - alone.frames.astype(int))
        assert difference.max() <= 1
        if sampler.manifest is None:
            assert clip.attention_map is None
        else:
            assert clip.attention_map.shape == sampler.pipeline.token_grid()
            assert clip.attention_map.max() > 0


def test_the_context_sees_every_batch(sampler):
    seen = []

    @contextlib.contextmanager
    def around(batch):
        seen.append([request.seed for request in batch])
        yield

    requests = [make_request(seed) for seed in range(3)]
    assert len(list(imagine_batches(sampler, requests, batch_size=2, around=around))) == 3
    assert seen == [[0, 1], [2]]
