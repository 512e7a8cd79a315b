import dataclasses

import pytest
import torch

from tavid_core.errors import ConfigError
from training.checkpoints import Checkpoints
from training.recipes import RECIPES
from training.run_folder import claim_run_folder, flatten


def save(folder, step=2):
    Checkpoints(folder).save(step, {"weight": torch.zeros(1)}, {"0": {}})


def test_fields_of_nested_configurations_are_listed():
    fields = flatten(RECIPES["debug_cpu"]())
    assert fields["loop.num_steps"] == 4
    assert fields["supervision.blocks"] == (1, 2)
    assert fields["prompt.slot_words"] == ("target",)
    assert not any(dataclasses.is_dataclass(value) for value in fields.values())


def test_another_configuration_is_refused_with_what_differs(tmp_path):
    claim_run_folder(tmp_path, {"lora_rank": 4, "blocks": (1, 2), "seed": 0})
    save(tmp_path)
    claim_run_folder(tmp_path, {"lora_rank": 4, "blocks": (1, 2), "seed": 0, "new": 1})
    with pytest.raises(ConfigError, match=r"lora_rank was 4, is 8; seed was 0, is 1\. Name"):
        claim_run_folder(tmp_path, {"lora_rank": 8, "blocks": (1, 2), "seed": 1})


def test_without_a_checkpoint_another_configuration_takes_the_folder(tmp_path):
    claim_run_folder(tmp_path, {"seed": 0})
    claim_run_folder(tmp_path, {"seed": 1})
    save(tmp_path)
    claim_run_folder(tmp_path, {"seed": 1})


def test_resume_says_what_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="must hold a good checkpoint for --resume, got none"):
        claim_run_folder(tmp_path, {}, "require")
    claim_run_folder(tmp_path, {}, "never")
    save(tmp_path)
    claim_run_folder(tmp_path, {}, "require")
    with pytest.raises(ConfigError, match="must be empty for --resume never"):
        claim_run_folder(tmp_path, {}, "never")
    (tmp_path / "step_0000002" / "optimizer.pt").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="must hold a good checkpoint"):
        claim_run_folder(tmp_path, {}, "require")


@pytest.mark.parametrize("damage", ["torn", "gone", "a list"])
def test_a_run_file_that_cannot_be_read_beside_checkpoints_is_told(tmp_path, damage):
    """Where it was gone, another LoRA rank was written down and then failed to load."""
    claim_run_folder(tmp_path, {"lora_rank": 4})
    save(tmp_path)
    path = tmp_path / "run.json"
    path.unlink()
    if damage != "gone":
        path.write_text("{torn" if damage == "torn" else "[1]")
    with pytest.raises(ConfigError, match=r"run\.json must say what run .* got: .* Name another"):
        claim_run_folder(tmp_path, {"lora_rank": 8})
    assert path.is_file() == (damage != "gone")
