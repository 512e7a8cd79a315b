"""CogVideoX image-to-video with mask channels: a subclass, not a copy.

diffusers concatenates [latents, image_latents] on the channel axis and duplicates both for
guidance, so mask channels appended to the image latents arrive as [noise, image, masks] in every
half of the batch, and nothing else of the pipeline has to know.

Shape suffixes: B batch, S mask slots, F latent frames, H rows, W columns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from diffusers import CogVideoXImageToVideoPipeline
from diffusers.pipelines.cogvideo.pipeline_output import CogVideoXPipelineOutput
from numpy.typing import NDArray

from tavid_core.attention import token_grid
from tavid_core.errors import ConfigError, InputError, ShapeError, check_shape
from tavid_core.mask import fit_mask, mask_to_grid

__all__ = ["TargetAwarePipeline"]


class TargetAwarePipeline(CogVideoXImageToVideoPipeline):
    """Imagine a video from an image, a prompt and one mask per slot.

    Load it with `TargetAwarePipeline.from_pretrained(folder)`, widen it with
    `tavid_core.adapter.load_adapter`. A transformer without mask channels runs as in diffusers.

    References:
        arXiv 2503.18950. The released code copies the pipeline and takes the mask as it is; here
        the masks are fitted to the image, checked, and given per batch item. There both halves of
        the guidance know the mask; here the unconditional one may be run without (Ho and Salimans,
        arXiv 2207.12598, equation 6, with text and masks as the condition).
    """

    _mask_grids: torch.Tensor | None = None

    @property
    def num_mask_slots(self) -> int:
        """Mask channels the transformer takes; 0 for a base model."""
        return self.transformer.config.in_channels - 2 * self.vae.config.latent_channels

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns of the images the transformer was built for, pixels."""
        config, factor = self.transformer.config, self.vae_scale_factor_spatial
        return config.sample_height * factor, config.sample_width * factor

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        prompt: str | Sequence[str] | None = None,
        *,
        masks: Sequence[NDArray[np.bool_]] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        guide_by_mask: bool = False,
        **options: Any,
    ) -> CogVideoXPipelineOutput | tuple:
        """Sample videos.

        Args:
            image: One image or a list of them, as in diffusers; all of one size.
            prompt: One text or one per image, the sentence with the slot tokens included
                (`tavid_core.prompt.build_prompt`).
            masks: Per batch item the masks of all slots, bool (S, H, W), of the image's aspect.
                None only for a transformer without mask channels.
            height: Rows of the video, pixels; the model's own if None.
            width: Columns of the video, pixels; the model's own if None.
            num_frames: Frames of the video, 8n+1; the model's own if None.
            guide_by_mask: Whether the unconditional half of classifier-free guidance is run
                without the masks, so that guidance pulls towards the target and not to the text
                alone. Without guidance, or without masks, it changes nothing.
            **options: Anything else `CogVideoXImageToVideoPipeline` takes.

        Returns:
            What `CogVideoXImageToVideoPipeline` returns.

        Raises:
            InputError: If size, frames or masks are not what the model can do.
            ConfigError: If the transformer and the masks do not go together.
        """
        height, width = height or self.size_hw[0], width or self.size_hw[1]
        num_frames = num_frames or self.transformer.config.sample_frames
        options.setdefault("max_sequence_length", self.transformer.config.max_text_seq_length)
        self.check_size(height, width, num_frames)
        prompt = list(prompt) if isinstance(prompt, tuple) else prompt
        self._mask_grids = self._fit_masks(masks, _image_size_hw(image), (height, width))
        with self._hide_masks() if guide_by_mask else contextlib.nullcontext():
            try:
                return super().__call__(
                    image,
                    prompt,
                    height=height,
                    width=width,
                    num_frames=num_frames,
                    **options,
                )
            finally:
                self._mask_grids = None

    @contextlib.contextmanager
    def _hide_masks(self) -> Iterator[None]:
        """Take the masks from the unconditional half of every pass."""

        def hide(_: object, args: tuple, inputs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            hidden_BFCHW = inputs["hidden_states"]
            # The dynamic scale of diffusers passes through 1, so that the size says it, not it.
            if self._mask_grids is None or len(hidden_BFCHW) != 2 * len(self._mask_grids):
                return args, inputs
            hidden_BFCHW = hidden_BFCHW.clone()
            hidden_BFCHW[: len(self._mask_grids), :, -self.num_mask_slots :] = 0
            return args, {**inputs, "hidden_states": hidden_BFCHW}

        hook = self.transformer.register_forward_pre_hook(hide, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def check_size(self, height: int, width: int, num_frames: int) -> None:
        """Refuse a size that the model would fail on, or worse, accept and do badly.

        Args:
            height: Rows, pixels.
            width: Columns, pixels.
            num_frames: Frames.

        Raises:
            ConfigError: If the model is a CogVideoX 1.5, which packs frames into patches.
            InputError: If the size does not fit the patches, the frames are not 8n+1, or learned
                positions allow one size only. (Given other frames, diffusers would silently
                replace the learned positions by computed ones.)
        """
        config = self.transformer.config
        if config.patch_size_t is not None:
            raise ConfigError(
                f"transformer must have no temporal patches, got patch_size_t="
                f"{config.patch_size_t}. Use a CogVideoX 1.0 image-to-video model."
            )
        multiple = max(8, self.vae_scale_factor_spatial * config.patch_size)
        if height % multiple or width % multiple:
            raise InputError(
                f"height and width must be multiples of {multiple}, got {height} and {width}. "
                f"The model's own size is {self.size_hw[0]} and {self.size_hw[1]}."
            )
        if num_frames < 9 or num_frames % 8 != 1:
            raise InputError(
                f"num_frames must be 8n+1 with n >= 1, got {num_frames}. "
                f"The model's own number is {config.sample_frames}."
            )
        if not config.use_learned_positional_embeddings:
            return
        if (height, width, num_frames) != (*self.size_hw, config.sample_frames):
            raise InputError(
                "height, width and num_frames must be those of the model's learned positions "
                f"({self.size_hw[0]}, {self.size_hw[1]}, {config.sample_frames}), got "
                f"({height}, {width}, {num_frames}). Leave them out."
            )

    def token_grid(self, height: int | None = None, width: int | None = None) -> tuple[int, int]:
        """Say how many video tokens a latent frame has.

        Args:
            height: Rows of the video, pixels; the model's own if None.
            width: Columns of the video, pixels; the model's own if None.

        Returns:
            Rows and columns of the attention map.
        """
        factor = self.vae_scale_factor_spatial
        latent_hw = ((height or self.size_hw[0]) // factor, (width or self.size_hw[1]) // factor)
        return token_grid(self.transformer, latent_hw)

    def prepare_latents(
        self,
        image: torch.Tensor,
        batch_size: int = 1,
        num_channels_latents: int = 16,  # noqa: ARG002 (in_channels // 2, wrong with masks)
        num_frames: int = 13,
        height: int = 60,
        width: int = 90,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the mask channels to the image latents; called by diffusers.

        Args:
            image: The preprocessed images.
            batch_size: Number of videos.
            num_channels_latents: Ignored; half of the input channels is the latent width only
                while there are fewer than two mask channels.
            num_frames: Frames of the video.
            height: Rows of the video, pixels.
            width: Columns of the video, pixels.
            dtype: Of the latents.
            device: Of the latents.
            generator: Source of the noise.
            latents: Noise of the caller, or None.

        Returns:
            The noise, and the image latents with the masks in the first latent frame.

        Raises:
            ShapeError: If there is not one image and one set of masks per video.
        """
        check_shape("image", image.shape[:1], (batch_size,), "Give one image per prompt.")
        channels = self.vae.config.latent_channels
        latents, image_latents_BFCHW = super().prepare_latents(
            image,
            batch_size,
            channels,
            num_frames,
            height,
            width,
            dtype,
            device,
            generator,
            latents,
        )
        return latents, self._append_masks(image_latents_BFCHW)

    def _append_masks(self, image_latents_BFCHW: torch.Tensor) -> torch.Tensor:
        masks_BSHW = self._mask_grids
        if masks_BSHW is None:
            return image_latents_BFCHW
        check_shape(
            "masks",
            masks_BSHW.shape[:1],
            (image_latents_BFCHW.shape[0],),
            "Give one set of masks per image and prompt.",
        )
        num_latent_frames = image_latents_BFCHW.shape[1]
        channels_BFSHW = image_latents_BFCHW.new_zeros(
            masks_BSHW.shape[0], num_latent_frames, *masks_BSHW.shape[1:]
        )
        channels_BFSHW[:, 0] = masks_BSHW.to(channels_BFSHW)
        return torch.cat([image_latents_BFCHW, channels_BFSHW], dim=2)

    def _fit_masks(
        self,
        masks: Sequence[NDArray[np.bool_]] | None,
        image_hw: tuple[int, int],
        size_hw: tuple[int, int],
    ) -> torch.Tensor | None:
        num_slots = self.num_mask_slots
        if masks is None or num_slots == 0:
            self._check_masks_wanted(masks, num_slots)
            return None
        latent_hw = tuple(side // self.vae_scale_factor_spatial for side in size_hw)
        grids = []
        for item, slots in enumerate(masks):
            name = f"masks[{item}]"
            check_shape(
                name, np.shape(slots), (num_slots, None, None), "Give one mask per slot and image."
            )
            if np.asarray(slots).dtype != np.bool_:
                raise InputError(
                    f"{name} must be bool, got {np.asarray(slots).dtype}. "
                    "Use tavid_core.mask.binarize_mask."
                )
            grids.append(
                [
                    mask_to_grid(
                        fit_mask(mask, size_hw, image_size_hw=image_hw, name=f"{name}[{slot}]"),
                        latent_hw,
                    )
                    for slot, mask in enumerate(slots)
                ]
            )
        if not grids:
            raise ShapeError("masks must hold one set per image, got none. Give one set of masks.")
        return torch.from_numpy(np.asarray(grids, dtype=np.float32))

    def _check_masks_wanted(self, masks: object, num_slots: int) -> None:
        if num_slots < 0:
            raise ConfigError(
                "transformer must take image latents, got in_channels="
                f"{self.transformer.config.in_channels} for {self.vae.config.latent_channels} "
                "latent channels. Use an image-to-video model."
            )
        if masks is not None:
            raise ConfigError(
                "transformer must have a mask channel per slot, got none. Load an adapter, or "
                "widen it with tavid_core.adapter.widen_patch_embed()."
            )
        if num_slots > 0:
            raise InputError(
                f"masks must hold {num_slots} slot(s) per image, got None. Give masks=[...]."
            )


def _image_size_hw(image: Any) -> tuple[int, int]:
    first = image[0] if isinstance(image, list) and image else image
    if isinstance(first, PIL.Image.Image):
        return first.height, first.width
    if isinstance(first, torch.Tensor) and first.ndim >= 2:
        return int(first.shape[-2]), int(first.shape[-1])
    raise InputError(
        f"image must be a PIL image, a tensor or a list of them, got {type(first).__name__}. "
        "Use PIL.Image.fromarray()."
    )
