"""Every command of the documents is one that its program understands."""

import argparse
import importlib
import re
import shlex

import pytest

from tests.source_tree import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands():
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:2] == ["python", "-m"] and words[2].split(".")[0] in (
                    "training",
                    "benchmarks",
                ):
                    yield pytest.param(words[2], words[3:], id=f"{page.name}:{' '.join(words[2:])}")
                elif words[:1] == ["tavid"]:
                    yield pytest.param(
                        "tavid_core.cli", words[1:], id=f"{page.name}:{' '.join(words)}"
                    )


class UnderstoodError(Exception):
    """The words were taken; nothing else is to happen."""


@pytest.mark.parametrize(("module", "words"), list(commands()))
def test_a_documented_command_is_understood(module, words, monkeypatch):
    if "..." in words:
        pytest.skip("a part of a command")
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise UnderstoodError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    found = importlib.import_module(module)
    if not hasattr(found, "main"):
        found = importlib.import_module(f"{module}.__main__")
    with pytest.raises(UnderstoodError):
        found.main(words)
