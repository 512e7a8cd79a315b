"""The mini model's tokenizer: frequent words whole, anything else by bytes, nothing refused."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from training.sources.sim.scene import COLORS, KINDS, VERBS

__all__ = ["build_tokenizer", "vocabulary_sentences"]

# Words people write about tables and hands; they cost a row each and spare the byte fallback.
_EXTRA_WORDS = """
the a an person man woman robot arm hand hands left right interacts with target object objects
source actor picks up lifts grabs reaches for takes touches pushes pulls moves holds puts down
opens closes table cup mug bottle box can ball bowl plate book chair in on from of and to it this
that one front back middle small large big near far side top his her their drinks drink who which
is are then slowly quickly orange brown pink gray grey blue green red yellow purple cyan white
black holding standing behind kitchen desk
"""


def vocabulary_sentences() -> list[str]:
    """List the sentences that the vocabulary is learnt from.

    Returns:
        Every caption of the mini world and a list of everyday words.
    """
    captions = [
        f"A person {verb} the {color} {kind}. The person interacts with target object."
        for verb in VERBS
        for color in COLORS
        for kind in KINDS
    ]
    return captions + _EXTRA_WORDS.split() * 20


def build_tokenizer(sentences: Iterable[str], max_tokens: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE whose special tokens sit where T5's do.

    Args:
        sentences: What to learn from.
        max_tokens: Longest prompt, in tokens.

    Returns:
        The tokenizer: <pad> 0, </s> 1, <unk> 2; </s> is appended to every prompt.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=max_tokens,
    )
