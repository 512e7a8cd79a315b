"""The Makefile hands the user's words on untouched, and never to a shell."""

import shutil
import subprocess

import pytest

from tests.source_tree import ROOT, environment_without

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

# Prints what `make demo` would find in its environment.
PROBE = """
probe:
\t@printf '%s\\n' "$$TAVID_DEMO_IMAGE" "$$TAVID_DEMO_PROMPT"
"""


def run_make(tmp_path, *arguments, **extra):
    probe = tmp_path / "probe.mk"
    probe.write_text(PROBE, encoding="utf-8")
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "-f", str(probe), "probe", *arguments]
    environment = environment_without("MAKEFLAGS", "MAKELEVEL", "IMAGE", "PROMPT") | extra
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "prompt",
    [
        'pick up "the mug"',
        "the person's cup; touch gone",
        "$(shell touch gone)",
        "`touch gone` $HOME $$ 100%",
        "\u00e9t\u00e9 \\ back # hash",
    ],
)
def test_prompt_arrives_as_it_was_typed(tmp_path, prompt):
    assert run_make(tmp_path, f"PROMPT={prompt}", "IMAGE=a b/c.png") == ["a b/c.png", prompt]
    assert not (tmp_path / "gone").exists()


def test_nothing_is_passed_on_unless_asked_for(tmp_path):
    assert run_make(tmp_path, IMAGE="registry/image:1") == ["", ""]


def test_every_target_is_listed_by_help():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = text.split(".PHONY:")[1].splitlines()[0].split()
    done = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert [line.split()[1] for line in done.stdout.splitlines()] == targets


def test_an_empty_venv_never_means_the_root_folder():
    done = subprocess.run(
        ["make", "-n", "distclean", "VENV="], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert '".venv/ros"' in done.stdout
    assert '"/ros"' not in done.stdout
