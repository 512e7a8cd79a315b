"""What a run asks of its clips, what identifies it, and what it says when the disk is full."""

from types import SimpleNamespace

import pytest
from transformers import AutoTokenizer

from tavid_core.errors import PromptError
from tavid_core.model_folder import ASSETS
from training.finetune_config import with_settings
from training.finetune_run import demands_of
from training.recipes import RECIPES

LENGTH = 32


@pytest.fixture(scope="module")
def tokenizer():
    """The shipped model's own."""
    return AutoTokenizer.from_pretrained(ASSETS / "mini" / "tokenizer", local_files_only=True)


@pytest.mark.parametrize("position", ["prepend", "append"])
def test_a_caption_that_would_be_cut_is_refused(tokenizer, position):
    """Before the caption the slot token is never lost, and the rest used to be cut in silence."""
    config = with_settings(RECIPES["mini"](), [f"sentence_position={position}"])
    sizes = SimpleNamespace(max_text_seq_length=LENGTH, sample_frames=17)
    check = demands_of(tokenizer, (64, 96), sizes, config).check_caption
    check("A person lifts the red mug.")
    long = " ".join(["A person lifts the red mug."] * 25)
    with pytest.raises(PromptError, match=r"must fit into 32 tokens, got 1\d\d\. Shorten the"):
        check(long)
    # One token too many.
    words = ["mug"] * 40
    while True:
        try:
            check(" ".join(words))
            break
        except PromptError as error:
            last = str(error)
            words.pop()
    assert "got 33. Shorten the caption by 1 tokens." in last
