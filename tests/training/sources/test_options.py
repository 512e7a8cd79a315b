"""The options every source has: what is read, what is refused, how a source ends."""

import argparse
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tests.source_jobs import DrawnJob
from training.sources.conversion import Shard
from training.sources.cut_rules import CutRules
from training.sources.options import (
    add_conversion_options,
    parse_shard,
    parse_size_hw,
    read_rules,
    run_conversion,
)

JOBS = (DrawnJob("a"),)


def parse(*words):
    parser = argparse.ArgumentParser(prog="source", epilog="examples: none")
    add_conversion_options(parser)
    return parser.parse_args([str(word) for word in words])


def run(*words, jobs=JOBS):
    return run_conversion(parse("--preset", "mini", "--workers", 0, *words), lambda rules: jobs)


def test_presets_and_single_values():
    assert read_rules(parse("--out", "x")) == CutRules(num_frames=49, size_hw=(480, 720))
    mini = read_rules(parse("--out", "x", "--preset", "mini", "--size", "48x32"))
    assert (mini.num_frames, mini.size_hw) == (17, (32, 48))


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_shards_are_read_or_refused(index, count):
    try:
        shard = parse_shard(f"{index}/{count}")
    except InputError:
        assert not 1 <= index <= count <= 100_000
    else:
        assert shard == Shard(index, count)


@given(st.text() | st.from_regex(r"[0-9]{0,3}[x/][0-9]{0,3}", fullmatch=True))
def test_any_text_is_a_shard_or_size_or_a_typed_error(text):
    for parse_text in (parse_shard, parse_size_hw):
        try:
            parse_text(text)
        except InputError:
            continue
        assert re.fullmatch(r"[0-9]+[/x][0-9]+", text)


def test_wrong_options_end_with_2(tmp_path, capsys):
    out = ["--out", tmp_path / "clips"]
    assert run(*out, "--num-frames", 16) == 2
    assert "num_frames must be 8n + 1" in capsys.readouterr().err
    assert run(*out, "--workers", -1) == 2
    for words in (["--shard", "3/2"], ["--size", "wide"]):
        with pytest.raises(SystemExit) as ended:
            parse(*out, *words)
        assert ended.value.code == 2


def test_exit_codes_and_what_is_told(tmp_path, capsys):
    assert run("--out", tmp_path / "good", "--report", tmp_path / "copy.html") == 0
    told = capsys.readouterr().out
    assert "1 clips from 1 files" in told
    assert "left out      1  actor never touches the target" in told
    assert (tmp_path / "copy.html").read_bytes() == (tmp_path / "good/report.html").read_bytes()
    jobs = (DrawnJob("a"), DrawnJob("b", trouble="unreadable"))
    assert run("--out", tmp_path / "lossy", jobs=jobs) == 3
    assert run("--out", tmp_path / "none", "--min-target-share", 0.5) == 2
    assert "no window makes a clip" in capsys.readouterr().err
    assert run("--out", tmp_path / "good", "--size", "48x32") == 2
    assert "--restart" in capsys.readouterr().err
    assert run("--out", tmp_path / "shard", "--shard", "1/2") == 0
    assert "python -m training.sources.merge" in capsys.readouterr().out
