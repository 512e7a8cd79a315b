"""Added slot tokens, from the tokenizer to the planner."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tavid_core.adapter import add_slot_tokens
from tavid_core.errors import ConfigError
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from tests.tiny import make_image, make_mask, make_pipeline, make_text_encoder, make_tokenizer
from tests.training_clips import write_clips
from training.engine import Engine
from training.finetune_config import with_settings
from training.finetune_job import FinetuneJob
from training.finetune_run import FinetuneRun
from training.recipes import RECIPES
from training.texts import TrainedTokens

ADDED = ["slot_words=[TGT],[SRC]", "added_tokens=true", "steps=3", "ema_decay=0"]
ADDED += ["sentence=The {actor} interacts with {target} object."]


def train(folder, *settings):
    make_pipeline().save_pretrained(folder / "base", safe_serialization=True)
    write_clips(folder / "clips")
    job = FinetuneJob(
        base=folder / "base", clips=folder / "clips", out=folder / "adapter", trackers=()
    )
    config = with_settings(RECIPES["debug_cpu"](), [*ADDED, *settings])
    run = FinetuneRun(config, job, Engine.start(job.device))
    run.train()
    return run.pipeline


@pytest.mark.parametrize("is_trained", [True, False])
def test_added_tokens_reach_the_planner(tmp_path, is_trained):
    trained = train(tmp_path, f"train_tokens={str(is_trained).lower()}", "condition_dropout=0.3")
    rows = load_file(tmp_path / "adapter" / "token_embeddings.safetensors")["weight"].float()
    plain, tokenizer = make_text_encoder(), make_tokenizer()
    ids = add_slot_tokens(tokenizer, plain, ["[TGT]", "[SRC]"])
    start = plain.get_input_embeddings().weight[ids].detach()
    assert (
        (rows - start).abs().max() > 1e-3 if is_trained else torch.allclose(rows, start, atol=1e-3)
    )
    planner = InteractionPlanner.from_pretrained(tmp_path / "base", tmp_path / "adapter")
    table = planner.sampler.pipeline.text_encoder.get_input_embeddings()
    here = planner.sampler.pipeline.tokenizer.convert_tokens_to_ids(["[TGT]", "[SRC]"])
    torch.testing.assert_close(table.weight[here].detach(), rows)
    request = PlanRequest(
        image=make_image(1),
        target_mask=make_mask(),
        actor_mask=make_mask(left=False),
        prompt="A person lifts the red mug.",
        num_inference_steps=2,
    )
    loaded = planner.imagine(request)
    assert planner.sampler.text(request).startswith("The [SRC] interacts with [TGT] object.")
    # The very pipeline that was trained, not saved and loaded in between.
    manifest, card = planner.sampler.manifest, planner.sampler.card
    own = InteractionPlanner(trained, manifest, card).imagine(request)
    difference = np.abs(loaded.frames.astype(int) - own.frames)
    assert difference.max() <= 3, "float16 on the disk may move a pixel a little"


def test_the_trained_rows_stand_for_the_rows_of_the_table():
    text_encoder, tokenizer = make_text_encoder(), make_tokenizer()
    ids = add_slot_tokens(tokenizer, text_encoder, ["[TGT]"])
    tokens = TrainedTokens(text_encoder, ids)
    ids_BL = torch.tensor([[5, ids[0], 7, 1], [5, 6, 7, 1]])
    torch.testing.assert_close(tokens(ids_BL), text_encoder(ids_BL)[0])
    with torch.no_grad():
        tokens.rows_SD += 1.0
    changed = tokens(ids_BL)
    assert (changed[0] - text_encoder(ids_BL)[0][0]).abs().max() > 1e-3
    torch.testing.assert_close(changed[1], text_encoder(ids_BL)[0][1])
    tokens.write_back()
    torch.testing.assert_close(text_encoder(ids_BL)[0], changed)
    assert [name for name, p in tokens.named_parameters() if p.requires_grad] == ["rows_SD"]


def test_only_added_tokens_can_be_trained():
    with pytest.raises(ConfigError, match="added_tokens must be true where train_tokens is"):
        with_settings(RECIPES["mini"](), ["train_tokens=true"])
