"""Encoded captions: looked up on disk, or encoded in every step where slot tokens are trained.

Shapes: B samples, L text tokens, D text width, S slots, N captions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, T5EncoderModel

from tavid_core.config import PromptConfig
from tavid_core.prompt import build_prompt, find_slot_indices
from training.cache_file import read_cache, write_cache

__all__ = ["FrozenTexts", "TrainedTokens", "find_tokens", "load_or_build_texts", "tokenize_prompts"]


def tokenize_prompts(
    tokenizer: PreTrainedTokenizerBase,
    captions: Sequence[str | None],
    config: PromptConfig,
    length: int,
) -> torch.Tensor:
    """Tokenize captions with the sentence of the slot words, as the pipeline does.

    Args:
        tokenizer: Of the model.
        captions: Without the sentence; None for no text at all, as the unconditional half of
            guidance has it.
        config: Sentence and words.
        length: Tokens after padding.

    Returns:
        Token ids, int64 (B, L).
    """
    prompts = ["" if caption is None else build_prompt(caption, config) for caption in captions]
    return tokenizer(
        prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids


def find_tokens(
    tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], config: PromptConfig, length: int
) -> dict[str, list[int]]:
    """Find the slot tokens of captions.

    Args:
        tokenizer: Of the model.
        captions: Without the sentence.
        config: Sentence and words.
        length: Text tokens of the model.

    Returns:
        Per caption one position per slot.
    """
    return {
        caption: list(find_slot_indices(tokenizer, caption, config, length))
        for caption in sorted(set(captions))
    }


class FrozenTexts:
    """Looks captions up.

    Args:
        states: Per caption its states (L, D), on the CPU.
    """

    def __init__(self, states: Mapping[str | None, torch.Tensor]) -> None:
        self._states = states

    def __call__(self, captions: Sequence[str | None]) -> torch.Tensor:
        """Give the states of captions.

        Args:
            captions: Each known.

        Returns:
            (B, L, D), on the CPU.
        """
        return torch.stack([self._states[caption] for caption in captions])


class TrainedTokens(nn.Module):
    """Encodes captions with rows of the embedding table that are trained; the rest is frozen.

    Args:
        text_encoder: Of the model, with the slot words in its table.
        token_ids: Of the slot words.
    """

    def __init__(self, text_encoder: T5EncoderModel, token_ids: Sequence[int]) -> None:
        super().__init__()
        self.text_encoder = text_encoder.requires_grad_(False).eval()
        self.token_ids = tuple(token_ids)
        rows = text_encoder.get_input_embeddings().weight[list(token_ids)]
        self.rows_SD = nn.Parameter(rows.detach().float().clone())

    def forward(self, ids_BL: torch.Tensor) -> torch.Tensor:
        """Encode.

        Args:
            ids_BL: Token ids.

        Returns:
            (B, L, D), on the graph of the rows.
        """
        table = self.text_encoder.get_input_embeddings()
        embedded = table(ids_BL)
        for slot, token_id in enumerate(self.token_ids):
            is_slot = (ids_BL == token_id)[..., None]
            embedded = torch.where(is_slot, self.rows_SD[slot].to(embedded.dtype), embedded)
        return self.text_encoder(inputs_embeds=embedded)[0]

    @torch.no_grad()
    def write_back(self) -> None:
        """Put the trained rows into the table."""
        table = self.text_encoder.get_input_embeddings()
        table.weight[list(self.token_ids)] = self.rows_SD.to(table.weight)


@torch.no_grad()
def load_or_build_texts(
    captions: Sequence[str | None],
    tokenizer: PreTrainedTokenizerBase,
    text_encoder: T5EncoderModel,
    config: PromptConfig,
    length: int,
    path: Path,
) -> FrozenTexts:
    """Read the states of all captions, or encode the captions and write them.

    Args:
        captions: Without the sentence; None for no text at all.
        tokenizer: Of the model.
        text_encoder: In eval mode; encodes on its device.
        config: Sentence and words.
        length: Text tokens of the model.
        path: The cache file, safetensors.

    Returns:
        The states.

    Raises:
        InputError: If the file was made from other captions or by another text encoder.
        StorageError: If it cannot be written.
    """
    known = sorted(set(captions), key=lambda caption: (caption is None, caption or ""))
    ids_NL = tokenize_prompts(tokenizer, known, config, length)
    key = _key(ids_NL, text_encoder)
    found = read_cache(path, key, "text cache must belong to these captions and this model")
    if found is not None:
        states_NLD = found[0]["states_NLD"]
    else:
        device = text_encoder.device
        states = [
            text_encoder(ids_NL[i : i + 1].to(device))[0][0].cpu()
            for i in tqdm(range(len(known)), "encode captions", unit="text", leave=False)
        ]
        states_NLD = torch.stack(states)
        write_cache(path, {"states_NLD": states_NLD}, {"key": key})
    return FrozenTexts(dict(zip(known, states_NLD, strict=True)))


def _key(ids_NL: torch.Tensor, text_encoder: T5EncoderModel) -> str:
    digest = hashlib.sha256(ids_NL.numpy().tobytes())
    for name, tensor in sorted(text_encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
