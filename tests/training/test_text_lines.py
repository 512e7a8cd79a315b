"""Lines are those that were joined, whatever is in them."""

import io

from hypothesis import given
from hypothesis import strategies as st

from training.text_lines import split_lines


@given(st.text())
def test_lines_are_those_that_a_file_has(text):
    assert split_lines(text) == [line.removesuffix("\n") for line in io.StringIO(text, None)]
