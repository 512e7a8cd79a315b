"""The model card: how a model folder wants to be used (`tavid_model.json`).

The file is optional and flat. Without it a model is used as the paper uses CogVideoX-5B-I2V::

    {
      "name": "tavid-mini",
      "actor": "person",
      "fps": 8.0,
      "num_frames": 17,
      "num_inference_steps": 20,
      "guidance_scale": 2.0,
      "use_dynamic_guidance": false,
      "guide_by_mask": false,
      "attention_blocks": [1, 2, 3],
      "attention_steps": 1.0
    }
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

from tavid_core.config import SamplerConfig
from tavid_core.errors import ConfigError, WeightsError
from tavid_core.json_fields import read_json_object, typed_fields

__all__ = ["MODEL_CARD_FILE", "ModelCard", "read_model_card", "write_model_card"]

MODEL_CARD_FILE = "tavid_model.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """How a model wants to be used; the defaults are the paper's.

    Args:
        name: For people.
        actor: What the model was trained to imagine: "person", "arm", ...
        fps: Frames per second of its videos.
        num_frames: Frames per video, 8n+1.
        num_inference_steps: Denoising steps.
        guidance_scale: Classifier-free guidance; 1 or less switches it off.
        use_dynamic_guidance: diffusers' `use_dynamic_cfg`.
        guide_by_mask: Whether the unconditional half of guidance knows no masks.
        attention_blocks: Blocks whose attention map is shown with a plan, when the adapter names
            none.
        attention_steps: Part of the denoising steps, from the first on, whose maps are averaged;
            greater than 0, at most 1. Early steps decide where things go.

    Raises:
        ConfigError: If a field is out of its range.
    """

    name: str = "CogVideoX-5b-I2V"
    actor: str = "person"
    fps: float = 8.0
    num_frames: int = 49
    num_inference_steps: int = 50
    guidance_scale: float = 6.0
    use_dynamic_guidance: bool = True
    guide_by_mask: bool = False
    attention_blocks: tuple[int, ...] = (5, 8, 11, 14, 17, 20, 23)
    attention_steps: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ConfigError(f"fps must be positive, got {self.fps}. CogVideoX uses 8.")
        if not 0.0 < self.attention_steps <= 1.0:
            raise ConfigError(
                f"attention_steps must be in 0..1 and not 0, got {self.attention_steps}. Use 1."
            )
        if any(block < 0 for block in self.attention_blocks):
            raise ConfigError(
                f"attention_blocks must be 0 or more, got {self.attention_blocks}. "
                "Name blocks that the model has."
            )
        # Building it checks the sampler's fields.
        _ = self.sampler

    @property
    def sampler(self) -> SamplerConfig:
        """The sampling settings among the fields."""
        return SamplerConfig(
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            use_dynamic_guidance=self.use_dynamic_guidance,
            guide_by_mask=self.guide_by_mask,
            num_frames=self.num_frames,
        )


def read_model_card(folder: str | Path, *, default_num_frames: int = 49) -> ModelCard:
    """Read the card of a model folder.

    Args:
        folder: The model's folder.
        default_num_frames: Frames for a folder without a card; 8n+1.

    Returns:
        The card; the paper's settings if the folder has none.

    Raises:
        WeightsError: If the card is damaged or holds nonsense; the message names the file.
    """
    path = Path(folder) / MODEL_CARD_FILE
    if not path.exists():
        return ModelCard(num_frames=default_num_frames)
    try:
        return ModelCard(**typed_fields(ModelCard, read_json_object(path)))
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path} must be a model card, got: {error} Write it again.") from error


def write_model_card(folder: str | Path, card: ModelCard) -> None:
    """Write the card into a model folder.

    Args:
        folder: The model's folder.
        card: What to say.
    """
    text = json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False)
    (Path(folder) / MODEL_CARD_FILE).write_text(text + "\n", encoding="utf-8")
