"""The demo: three processes over DDS, to a saved plan; wrong words are told at once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from tavid.action import PlanInteraction

from tavid_core.errors import InputError, TavidError
from tavid_core.io import load_plan
from tavid_core.types import PlanProgress
from tavid_ros.client import PlanClient, PlanUnreachableError
from tavid_ros.demo import DemoOptions, main, run_demo
from tavid_ros.progress_bar import ProgressBar, format_progress
from tests.source_tree import ROOT

PLAN_FILES = {"rollout.mp4", "overlay.png", "motion.npz", "plan.json", "plan.html"}


@pytest.fixture
def picture(tmp_path) -> tuple[Path, Path]:
    """A photograph of nobody, and a mask."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (6, 9, 3), dtype=np.uint8), (180, 120))
    mask = np.zeros((120, 180), np.uint8)
    mask[40:70, 60:100] = 255
    cv2.imwrite(str(tmp_path / "image.jpg"), image)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return tmp_path / "image.jpg", tmp_path / "mask.png"


def find_nodes(marker: str) -> list[str]:
    """Command lines of node processes that name a folder."""
    answer = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True)
    return [line for line in answer.stdout.splitlines() if "tavid_ros." in line and marker in line]


@pytest.mark.slow
@pytest.mark.no_cover  # The model's own tests measure it, and its libraries are slow to trace.
def test_whole_path_with_the_real_model(tmp_path, capfd):
    out = tmp_path / "demo"
    adapter = ROOT / "tavid_core" / "assets" / "mini_adapter"
    assert main(["--out", str(out), "--steps", "2", "--adapter", str(adapter)]) == 0
    lines = capfd.readouterr().out.strip().splitlines()
    assert "target touched" in lines[-1] or "target not touched" in lines[-1]
    assert str(out / "plan.html") in lines[-1]
    assert {path.name for path in out.iterdir()} >= PLAN_FILES
    assert not list(out.glob(".incoming*"))
    plan = load_plan(out)
    assert plan.provenance["model"] == "mini"
    assert plan.request.num_inference_steps == 2
    assert plan.request.depth_m is not None
    assert plan.request.intrinsics is not None
    assert find_nodes(str(out)) == []


def test_own_picture_and_a_second_run_into_the_same_folder(picture, tmp_path, capfd):
    image, mask = picture
    words = ["--image", str(image), "--mask", str(mask), "--prompt", "no_actor at lift"]
    words += ["--backend", "fake", "--out", str(tmp_path / "demo")]
    assert main(words) == 0
    (tmp_path / "demo" / "incoming").mkdir()
    (tmp_path / "demo" / "incoming" / "letter.txt").write_text("the user's own")
    assert "NO_ACTOR: no motion to follow" in capfd.readouterr().out.strip().splitlines()[-1]
    words[5] = "1.0"
    assert main(words) == 0
    assert "target touched by the right hand" in capfd.readouterr().out.strip().splitlines()[-1]
    assert load_plan(tmp_path / "demo").request.prompt == "1.0"
    assert (tmp_path / "demo" / "incoming" / "letter.txt").exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mask": None}, "image must come with a mask and a prompt, got no MASK"),
        ({"prompt": " "}, "image must come with a mask and a prompt, got no PROMPT"),
        ({"image": None}, "mask must come with an image"),
        ({"image": Path("/nowhere.png")}, "image must be a readable file"),
        ({"mask": Path("/nowhere.png")}, "mask must be a readable file"),
        ({"image": None, "mask": None, "scene": "/nowhere"}, "scene must be a folder"),
    ],
)
def test_wrong_words_are_told_before_anything_runs(picture, tmp_path, changes, match):
    image, mask = picture
    values = {"image": image, "mask": mask, "prompt": "lift", "out": tmp_path / "demo", **changes}
    with pytest.raises(InputError, match=match):
        run_demo(DemoOptions(**values))
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("is_file", [True, False])
def test_folder_of_other_things_is_left_alone(tmp_path, is_file):
    letter = tmp_path / "letter.txt"
    letter.write_text("the user's own")
    out = letter if is_file else tmp_path
    with pytest.raises(InputError, match="out must be new, empty, or of an earlier demo, got /"):
        run_demo(DemoOptions(backend="fake", out=out))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_plan_that_could_not_be_saved_is_told_with_the_reason(tmp_path, monkeypatch):
    reason = "the plan could not be saved to /full: No space left on device"
    result = PlanInteraction.Result(error_msg=reason)
    monkeypatch.setattr(PlanClient, "request_plan", lambda *_, **__: result)
    with pytest.raises(PlanUnreachableError, match="No space left on device"):
        run_demo(DemoOptions(backend="fake", out=tmp_path / "demo"))


def test_planner_that_cannot_start_is_quoted(tmp_path):
    options = DemoOptions(backend="fake", model="missing", out=tmp_path / "demo")
    with pytest.raises(TavidError, match=r"planner_node must keep running, got exit status 1") as e:
        run_demo(options)
    assert "model must be there, got 'missing'" in str(e.value)


def test_signal_takes_the_nodes_down(tmp_path):
    out = tmp_path / "demo"
    environment = {**os.environ, "TAVID_DEMO_PROMPT": "hang at denoise", "TAVID_DEMO_OUT": str(out)}
    command = [sys.executable, "-m", "tavid_ros.demo", "--backend", "fake"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as demo:
        for line in demo.stderr:
            if "denoise" in line:
                break
        running = find_nodes(str(out))
        demo.send_signal(signal.SIGTERM)
        demo.stderr.read()
    assert len(running) == 2
    assert demo.returncode == 128 + signal.SIGTERM
    deadline = time.monotonic() + 10.0
    while find_nodes(str(out)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


PROGRESS = PlanProgress(
    stage="denoise", step=5, total_steps=10, elapsed_sec=4.12, remaining_sec=4.6
)


def test_progress_line():
    line = format_progress(PROGRESS)
    assert line == f"[{'#' * 15}{'.' * 15}] denoise 5 of 10, 4.1 s, about 5 s left"
    waiting = PlanProgress(stage="queued", step=0, total_steps=0, elapsed_sec=0.0)
    assert format_progress(waiting).endswith("] queued, 0.0 s")


def test_bar_draws_one_line_on_a_terminal_and_stages_elsewhere():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with ProgressBar(stream) as bar:
            bar.show(PROGRESS)
            bar.show(PROGRESS)
    assert terminal.getvalue().count("\r") == 2
    assert terminal.getvalue().count("\n") == 1
    assert file.getvalue().count("\n") == 1


def test_scene_of_the_environment_is_used(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tavid_ros.demo", "--out", str(tmp_path / "out")],
        env={**os.environ, "TAVID_DEMO_SCENE": "no_such_scene"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "got 'no_such_scene'" in done.stderr
