"""The command: what it reads, what it says, and its exit codes."""

import dataclasses
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tavid_core import cli
from tavid_core.errors import CanceledError, ConfigError, WeightsError
from tavid_core.io import load_plan, save_plan
from tavid_core.types import PlanProgress
from tests.drawn import draw_plan


class DrawnPlanner:
    """Answers every request with a drawn plan, and reports the stages of a real one."""

    def __init__(self, options):
        self.options = options

    def plan(self, request, on_progress):
        for stage, total in (("condition", 1), ("denoise", 3), ("decode", 1), ("lift", 1)):
            for step in range(total + 1):
                on_progress(PlanProgress(stage=stage, step=step, total_steps=total, elapsed_sec=0))
        return dataclasses.replace(draw_plan(), request=request)


@pytest.fixture
def words(tmp_path):
    plan = draw_plan()
    cv2.imwrite(str(tmp_path / "image.png"), plan.request.image[..., ::-1])
    cv2.imwrite(str(tmp_path / "mask.png"), plan.request.target_mask.astype(np.uint8) * 255)
    return [
        "plan",
        *("--image", str(tmp_path / "image.png")),
        *("--mask", str(tmp_path / "mask.png")),
        *("--prompt", "lift the disc"),
        *("--out", str(tmp_path / "plans" / "one")),
    ]


def test_plan_is_saved_and_the_last_line_says_where_and_what(words, tmp_path, capsys):
    assert cli.main(words, DrawnPlanner) == 0
    out = capsys.readouterr().out.strip().splitlines()
    assert out[-1].startswith("target touched at 1.")
    assert str(tmp_path / "plans" / "one") in out[-1]
    assert load_plan(tmp_path / "plans" / "one").request.prompt == "lift the disc"


def test_every_option_reaches_request_and_planner(words, tmp_path):
    np.save(tmp_path / "depth.npy", np.full((64, 96), 1.5, dtype=np.float32))
    camera = {"fx": 90, "fy": 90, "cx": 47.5, "cy": 31.5, "width": 96, "height": 64}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    seen = []
    words += ["--depth", str(tmp_path / "depth.npy"), "--camera", str(tmp_path / "camera.json")]
    words += ["--actor-mask", str(tmp_path / "mask.png"), "--seed", "5", "--steps", "4"]
    words += ["--guidance", "2.5", "--frames", "17", "--device", "cuda:1", "--adapter", "none"]
    assert cli.main(words, lambda options: seen.append(options) or DrawnPlanner(options)) == 0
    request = load_plan(tmp_path / "plans" / "one").request
    assert (request.seed, request.num_inference_steps, request.num_frames) == (5, 4, 17)
    assert request.guidance_scale == 2.5
    assert request.depth_m[0, 0] == 1.5
    assert request.intrinsics.fx == 90
    assert request.actor_mask.any()
    assert (seen[0].device, seen[0].adapter, seen[0].model) == ("cuda:1", "none", "mini")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--image", "nowhere.png", "image must be a readable file"),
        ("--mask", "nowhere.png", "mask must be a readable file"),
        ("--prompt", " ", "prompt must have 1 to 1024 characters"),
        ("--frames", "16", "num_frames must be 8n"),
        ("--depth", "nowhere.png", "depth must be a readable file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, capsys, option, value, message):
    assert cli.main([*words, option, value], DrawnPlanner) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert message in lines[0]


def test_foreign_output_folder_is_refused_before_planning(words, tmp_path, capsys):
    (tmp_path / "plans" / "one").mkdir(parents=True)
    (tmp_path / "plans" / "one" / "thesis.txt").write_text("x")

    def refuse(options):
        raise AssertionError("the model was loaded")

    assert cli.main(words, refuse) == 2
    assert "folder must be new, empty, or an earlier plan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("device must be one that torch can use"), 2),
        (WeightsError("weights must be\nwhole"), 1),
        (CanceledError("stopped"), 1),
        (OSError("disk full"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_failures_are_one_line_with_their_exit_code(words, capsys, error, code):
    def fail(options):
        raise error

    assert cli.main(words, fail) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("tavid: ")


def test_show_prints_a_summary(tmp_path, capsys):
    save_plan(draw_plan(), tmp_path / "plan")
    assert cli.main(["show", str(tmp_path / "plan")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("target touched at")
    assert '"A person lifts the middle disc."' in out


def test_show_of_no_plan_is_bad_input(tmp_path, capsys):
    assert cli.main(["show", str(tmp_path)]) == 2
    assert "plan.json" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["plan", "--help"], ["--help"]])
def test_help_has_an_example(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 0
    assert "tavid plan --image kitchen.png" in capsys.readouterr().out


def test_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("tavid ")


@pytest.mark.parametrize("words", [[], ["plan"], ["dance"], ["plan", "--seed", "x"]])
def test_wrong_words_are_bad_input(words):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2


def test_help_loads_no_model():
    code = (
        "import sys; from tavid_core import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
