"""Batches imagine what single requests do."""

import contextlib
import dataclasses

import numpy as np
import pytest

from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.config import PromptConfig
from tavid_core.errors import InputError
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
        actor_mask=make_mask(left=seed % 2 == 1),
        extra_masks=(np.roll(make_mask(), seed + 1, axis=0),),
        seed=seed,
        num_inference_steps=2,
    )


SENTENCES = (
    "The person interacts with {target} object.",
    "The {actor} person interacts with {target} object.",
    "The {actor} person interacts with {target} object and {slot_3}.",
)


@pytest.fixture(
    scope="module", params=range(4), ids=["base", "adapter", "two slots", "three slots"]
)
def sampler(request):
    num_slots = request.param
    manifest = None
    if num_slots:
        words = ("target", "source", "apple")[:num_slots]
        manifest = AdapterManifest(
            base_model="tiny",
            attention_blocks=(0, 1),
            lora_rank=1,
            num_mask_slots=num_slots,
            prompt=PromptConfig(slot_words=words, sentence=SENTENCES[num_slots - 1]),
        )
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


def test_requests_without_the_mask_of_a_slot_are_refused(sampler):
    num_slots = sampler.pipeline.num_mask_slots
    bare = dataclasses.replace(make_request(0), actor_mask=None)
    requests = [make_request(1), bare]
    if num_slots < 2:
        assert len(list(imagine_batches(sampler, requests, batch_size=2))) == 2
        return
    with pytest.raises(InputError, match=f"masks for {num_slots} slots, got {num_slots - 1}"):
        list(imagine_batches(sampler, requests, batch_size=2))
