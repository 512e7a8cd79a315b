"""Prompts: the sentence with the slot tokens, and where those tokens stand."""

from __future__ import annotations

import unicodedata
from typing import Protocol

from tavid_core.config import PromptConfig, slot_placeholder
from tavid_core.errors import ConfigError, InputError, PromptError
from tavid_core.types import MAX_PROMPT_CHARACTERS

__all__ = [
    "Tokenizer",
    "build_prompt",
    "clean_prompt",
    "count_tokens",
    "find_slot_index",
    "find_slot_indices",
]


class Tokenizer(Protocol):
    """What is needed of a transformers tokenizer; it must report character offsets."""

    is_fast: bool

    def __call__(self, text: str, **options: object) -> dict[str, list]:
        """Encode one text."""


def clean_prompt(text: str, name: str = "prompt") -> str:
    """Make a prompt safe to tokenise, to log and to show.

    Args:
        text: As received.
        name: What the sender calls it, for the message.

    Returns:
        NFC, control characters turned into spaces, runs of spaces joined; maybe empty.

    Raises:
        InputError: If it is longer than 1024 characters.
    """
    if len(text) > 4 * MAX_PROMPT_CHARACTERS:
        raise InputError(
            f"{name} must have 1 to {MAX_PROMPT_CHARACTERS} characters, got {len(text)}. "
            "Say in one sentence what should happen."
        )
    printable = "".join(
        " " if unicodedata.category(character).startswith("C") else character
        for character in unicodedata.normalize("NFC", text)
    )
    prompt = " ".join(printable.split())
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InputError(
            f"{name} must have 1 to {MAX_PROMPT_CHARACTERS} characters, got {len(prompt)}. "
            "Say in one sentence what should happen."
        )
    return prompt


def build_prompt(prompt: str, config: PromptConfig) -> str:
    """Put the sentence with the slot tokens before or after a prompt.

    Args:
        prompt: What should happen, in the caller's words; may itself hold the slot words.
        config: Sentence, words and position the adapter was trained with.

    Returns:
        The text that goes to the text encoder.

    Raises:
        PromptError: If the prompt is blank.

    References:
        arXiv 2503.18950 appends the sentence; the released checkpoint was trained with it
        prepended, hence the default of `PromptConfig`.
    """
    return _lay_out(prompt, config)[0]


def find_slot_indices(
    tokenizer: Tokenizer, prompt: str, config: PromptConfig, max_length: int
) -> tuple[int, ...]:
    """Find every slot token of the text that `build_prompt` makes of a prompt.

    Args:
        tokenizer: Of the model's text encoder.
        prompt: The caller's prompt, without the sentence.
        config: As given to `build_prompt`.
        max_length: Text tokens of the model, end token included.

    Returns:
        One position in the token ids per slot, in the order of the slots.

    Raises:
        PromptError: If a slot token is cut off, or is not exactly one token.
    """
    text, starts = _lay_out(prompt, config)
    return tuple(
        find_slot_index(tokenizer, text, word, max_length, from_character=start)
        for word, start in zip(config.slot_words, starts, strict=True)
    )


def find_slot_index(
    tokenizer: Tokenizer,
    text: str,
    slot_word: str,
    max_length: int,
    *,
    from_character: int = 0,
) -> int:
    """Find the token of the first `slot_word` at or after a character.

    Args:
        tokenizer: Of the model's text encoder.
        text: What goes to the text encoder.
        slot_word: The word, exactly as written in the text.
        max_length: Text tokens of the model, end token included.
        from_character: Where to start looking, so that the caller's own use of the word before
            the sentence is passed over.

    Returns:
        Position in the token ids.

    Raises:
        PromptError: If the word is absent, is cut off, or is not exactly one token.
        ConfigError: If the tokenizer cannot report character offsets.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            f"tokenizer must report character offsets, got {type(tokenizer).__name__}. "
            "Load it with a tokenizer.json."
        )
    start = _find_word(text, slot_word, from_character)
    kept = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    index = _token_at(kept, start, start + len(slot_word))
    if index is None:
        num_tokens = count_tokens(tokenizer, text)
        raise PromptError(
            f"prompt must leave room for the token '{slot_word}' within {max_length} tokens, got "
            f"{num_tokens} tokens. Shorten the prompt by {max(1, num_tokens - max_length)} tokens."
        )
    first, last = kept[index]
    if text[first:last].strip() != slot_word:
        pieces = [text[a:b] for a, b in kept if a < start + len(slot_word) and b > start]
        raise PromptError(
            f"slot word '{slot_word}' must be exactly one token, got {pieces}. "
            "Use a word of the tokenizer's vocabulary, or add it as a token."
        )
    return index


def count_tokens(tokenizer: Tokenizer, text: str) -> int:
    """Count the tokens of a text, end token included and nothing cut off.

    Args:
        tokenizer: Of the model's text encoder.
        text: What goes to the text encoder.

    Returns:
        The number of tokens.
    """
    return len(tokenizer(text, truncation=False)["input_ids"])


def _lay_out(prompt: str, config: PromptConfig) -> tuple[str, tuple[int, ...]]:
    prompt = prompt.strip()
    if not prompt:
        raise PromptError(
            f"prompt must have words, got {prompt!r}. Say in one sentence what should happen."
        )
    words = {slot_placeholder(slot): word for slot, word in enumerate(config.slot_words)}
    sentence = config.sentence.format(**words)
    # Each placeholder occurs once (PromptConfig checked it), so the text before it fixes where
    # its word starts, whatever other words the sentence or the prompt hold.
    inside = {
        name: len(config.sentence.partition("{" + name + "}")[0].format(**words)) for name in words
    }
    if config.sentence_position == "prepend":
        return f"{sentence} {prompt}", tuple(inside.values())
    offset = len(prompt) + 1
    return f"{prompt} {sentence}", tuple(offset + start for start in inside.values())


def _find_word(text: str, word: str, from_character: int) -> int:
    start = text.find(word, from_character)
    while start != -1:
        end = start + len(word)
        if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
            return start
        start = text.find(word, end)
    raise PromptError(
        f"prompt must hold the slot word '{word}', got {text!r}. Build it with build_prompt()."
    )


def _token_at(offsets: list[tuple[int, int]], start: int, end: int) -> int | None:
    for index, (first, last) in enumerate(offsets):
        if first < end and last > start and last > first:
            return index
    return None
