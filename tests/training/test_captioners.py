"""CogVLM2's loading and asking, with a tiny model that brings its own code as that one does."""

import json
from pathlib import Path

import numpy as np
import pytest

from tavid_core.errors import MissingExtraError, WeightsError
from tests.tiny import make_tokenizer
from training.captioners import CAPTION_REQUIREMENTS, CogVlm2Captioner, pick_frames
from training.clips import ClipRecord

RECORD = ClipRecord(
    file_name="a.mp4", text="old", fps=8.0, mask_file="a.png", source="test", licence="CC0-1.0"
)

# The interface of CogVLM2-Caption's own code: build_conversation_input_ids, and generate with
# images and token types. This one answers with words that depend on the pictures.
CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin


class TinyConfig(PretrainedConfig):
    model_type = "tiny_captioner"


class TinyCaptioner(PreTrainedModel, GenerationMixin):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.post_init()

    def build_conversation_input_ids(self, tokenizer, *, query, images, history, template_version):
        assert template_version == "chat" and history == []
        ids = torch.tensor(tokenizer(query)["input_ids"])
        ones = torch.ones_like(ids)
        return {
            "input_ids": ids,
            "token_type_ids": ones,
            "attention_mask": ones,
            "images": [images[0].float()],
        }

    def generate(self, input_ids, token_type_ids, attention_mask, images, **options):
        assert options["do_sample"] is False and options["pad_token_id"] == 128002
        (video_CTHW,) = images[0]
        assert video_CTHW.shape[:2] == (3, 3), video_CTHW.shape
        first = int(video_CTHW[0, 0, 0, 0])
        answer = torch.full((1, 2), 3 + first)
        return torch.cat([input_ids, answer], dim=1)
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "tiny_code.py").write_text(CODE)
    config = {
        "model_type": "tiny_captioner",
        "architectures": ["TinyCaptioner"],
        "auto_map": {
            "AutoConfig": "tiny_code.TinyConfig",
            "AutoModelForCausalLM": "tiny_code.TinyCaptioner",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    make_tokenizer().save_pretrained(folder)
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(1)}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_the_model_is_loaded_and_asked_about_one_frame_a_second(model):
    captioner = CogVlm2Captioner(str(model), allows_remote_code=True, device="cpu")
    words = [captioner.caption(RECORD, np.full((17, 8, 8, 3), value, np.uint8)) for value in (0, 4)]
    assert len(set(words)) == 2
    tokenizer = make_tokenizer()
    assert words[0] == " ".join(tokenizer.decode([3, 3]).split())


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(WeightsError, match="must be a folder of CogVLM2-Caption"):
        CogVlm2Captioner(str(tmp_path), allows_remote_code=True, device="cpu")


def test_a_package_that_is_missing_names_the_pinned_environment(model):
    code = model / "tiny_code.py"
    code.write_text(f"import no_such_package\n{code.read_text()}")
    with pytest.raises(MissingExtraError, match="pip install -r docker/caption-requirements"):
        CogVlm2Captioner(str(model), allows_remote_code=True, device="cpu")
    lines = (
        (Path(__file__).parents[2] / CAPTION_REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    )
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["transformers"].startswith("4.4")
    assert {"torch", "torchvision", "einops", "xformers", "pytorchvideo"} <= set(pins)


def test_at_most_24_frames_are_shown():
    frames = np.zeros((400, 1, 1, 3), np.uint8)
    assert len(pick_frames(frames, 8.0)) == 24
    assert len(pick_frames(frames[:49], 8.0)) == 7
