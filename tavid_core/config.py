"""What can be configured: frozen dataclasses, validated once, JSON in and out.

Nothing here imports torch, so that a node or a command line can check its settings before it
pays for loading a model.
"""

from __future__ import annotations

import dataclasses
import math
import string

from tavid_core.errors import ConfigError

__all__ = [
    "SLOT_NAMES",
    "PlannerConfig",
    "PromptConfig",
    "SamplerConfig",
    "slot_placeholder",
]

SLOT_NAMES = ("target", "actor")
DTYPES = ("float32", "bfloat16", "float16")
OFFLOADS = ("none", "model", "sequential")


def slot_placeholder(slot: int) -> str:
    """Name the placeholder of a slot in `PromptConfig.sentence`.

    Args:
        slot: 0 for the target, 1 for the actor, 2 and more for further objects.

    Returns:
        "target", "actor", "slot_3", "slot_4", ...
    """
    return SLOT_NAMES[slot] if slot < len(SLOT_NAMES) else f"slot_{slot + 1}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """How the slot tokens get into the prompt.

    The defaults are those of the released checkpoint, which deviates from the paper: the sentence
    stands in front, and the plain word "target" is the slot token.

    Args:
        slot_words: One word per mask slot; the first is [TGT], the second the actor's [SRC].
        sentence: Text with one placeholder per slot: {target}, {actor}, {slot_3}, ...
        sentence_position: "prepend" or "append" to the caller's prompt.
        added_tokens: Whether the slot words were added to the tokenizer, with their own rows in
            the text encoder's embedding table.

    Raises:
        ConfigError: If a field is unusable.
    """

    slot_words: tuple[str, ...] = ("target",)
    sentence: str = "The person interacts with {target} object."
    sentence_position: str = "prepend"
    added_tokens: bool = False

    def __post_init__(self) -> None:
        """Check words, placeholders and position."""
        if not self.slot_words or any(not w or w != w.strip() or " " in w for w in self.slot_words):
            raise ConfigError(
                f"slot_words must be words without spaces, got {self.slot_words!r}. "
                'Use ("target",) as the released checkpoint does.'
            )
        if len(set(self.slot_words)) != len(self.slot_words):
            raise ConfigError(
                f"slot_words must differ from each other, got {self.slot_words!r}. "
                "Give every slot its own word."
            )
        if self.sentence_position not in ("prepend", "append"):
            raise ConfigError(
                "sentence_position must be 'prepend' or 'append', "
                f"got {self.sentence_position!r}. Use what the adapter was trained with."
            )
        wanted = sorted(slot_placeholder(slot) for slot in range(self.num_slots))
        if sorted(self._placeholders()) != wanted:
            raise ConfigError(
                f"sentence must hold each of {wanted} once in braces, got {self.sentence!r}. "
                "Write one placeholder per slot word."
            )

    def _placeholders(self) -> list[str]:
        if "{{" in self.sentence or "}}" in self.sentence:
            raise ConfigError(
                f"sentence must hold single braces only, got {self.sentence!r}. "
                "Write placeholders as {target}."
            )
        try:
            parts = list(string.Formatter().parse(self.sentence))
        except ValueError as error:
            raise ConfigError(
                f"sentence must have balanced braces, got {self.sentence!r}. "
                "Write placeholders as {target}."
            ) from error
        return [
            name + (f":{spec}" if spec else "") + (f"!{conversion}" if conversion else "")
            for _, name, spec, conversion in parts
            if name is not None
        ]

    @property
    def num_slots(self) -> int:
        """Mask slots, each with one token and one mask channel."""
        return len(self.slot_words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How a rollout is sampled; the defaults are the paper's.

    Args:
        num_inference_steps: Denoising steps, 1 to 1000.
        guidance_scale: Classifier-free guidance, 0 to 30; 1 or less runs without the
            unconditional half and halves the time.
        use_dynamic_guidance: Whether diffusers' `use_dynamic_cfg` is on. Its schedule takes the
            timestep for a step index and so oscillates, and the paper's results have it on.
        guide_by_mask: Whether the unconditional half knows no masks, so that guidance pulls
            towards the target as well; in the paper both halves know them.
        num_frames: Frames of the rollout, 8n+1.

    Raises:
        ConfigError: If a value is out of its range.
    """

    num_inference_steps: int = 50
    guidance_scale: float = 6.0
    use_dynamic_guidance: bool = True
    guide_by_mask: bool = False
    num_frames: int = 49

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.num_inference_steps <= 1000:
            raise ConfigError(
                f"num_inference_steps must be in 1..1000, got {self.num_inference_steps}. Try 50."
            )
        if not (math.isfinite(self.guidance_scale) and 0.0 <= self.guidance_scale <= 30.0):
            raise ConfigError(f"guidance_scale must be in 0..30, got {self.guidance_scale}. Try 6.")
        if self.num_frames < 9 or self.num_frames % 8 != 1:
            raise ConfigError(
                f"num_frames must be 8n+1 with n >= 1, got {self.num_frames}. Try 17 or 49."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """What a planner loads and where it runs.

    Args:
        model: "mini" (shipped), a diffusers folder, or a Hub id such as "THUDM/CogVideoX-5b-I2V".
        adapter: An adapter folder, "default" (the one shipped with "mini"), or None for the base
            model, which knows no target.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: "float32", "bfloat16" or "float16".
        offload: "none", "model" (one network on the device at a time) or "sequential" (one layer).
        vae_tiling: Whether the video is decoded in tiles: much less memory, a little slower, and
            the frames differ slightly.

    Raises:
        ConfigError: If a value is not one of the admitted, or the combination makes no sense.
    """

    model: str = "mini"
    adapter: str | None = "default"
    device: str = "cpu"
    dtype: str = "float32"
    offload: str = "none"
    vae_tiling: bool = False

    def __post_init__(self) -> None:
        """Check the choices."""
        if not self.model:
            raise ConfigError('model must name a model, got "". Use "mini" or a folder.')
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype must be one of {DTYPES}, got {self.dtype!r}. Use 'float32'.")
        if self.offload not in OFFLOADS:
            raise ConfigError(
                f"offload must be one of {OFFLOADS}, got {self.offload!r}. Use 'none'."
            )
        if self.offload != "none" and self.device.split(":")[0] == "cpu":
            raise ConfigError(
                f"offload must be 'none' on device 'cpu', got {self.offload!r}. "
                "Offload needs an accelerator: set device to 'cuda'."
            )
