"""From a bag to a planner that has learnt from it: all parts, small, and how they are stopped."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from benchmarks import bag_demo
from benchmarks.bag_demo import BagDemo, main, run_bag_demo
from benchmarks.step_process import StepError, run_step
from tavid_core.errors import InputError
from tests.ros.graph import wait_for
from tests.source_tree import ROOT
from training.clips import read_records

TINY = BagDemo(num_episodes=2, num_scenes=1, num_steps=1, inference_steps=2)


def run_here(module, arguments, *, good=(0,), stdout=None):
    """Run a step in this process, which has loaded torch already."""
    name = {"training.sources.bags": ".command", "training.sources.sim": ".dataset"}.get(module, "")
    run = importlib.import_module(module + name).main
    with contextlib.ExitStack() as stack:
        if stdout is not None:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(stdout.open("w"))))
        assert run([str(argument) for argument in arguments]) in good


@pytest.mark.render
@pytest.mark.slow
@pytest.mark.no_cover  # It trains, and each part has tests of its own.
def test_all_parts_fit_together(tmp_path, monkeypatch, capfd):
    asked = []

    def keep(options):
        """Planning over ROS takes the longest, and tests/ros/test_demo.py tries it."""
        options.check()
        asked.append(options)
        return "a plan"

    monkeypatch.setattr(bag_demo, "run_step", run_here)
    monkeypatch.setattr(bag_demo, "run_demo", keep)
    out = tmp_path / "out"
    figures = run_bag_demo(TINY, out)
    assert figures["clips"] + figures["dropped"] >= 2
    records = read_records(out / "clips")
    assert len(records) == figures["clips"] >= 1
    assert {record.source for record in records} == {"bags"}
    assert all(record.camera is not None and record.actor_mask_file for record in records)
    topics = yaml.safe_load((out / "bag" / "metadata.yaml").read_text())
    counts = {
        each["topic_metadata"]["name"]: each["message_count"]
        for each in topics["rosbag2_bagfile_information"]["topics_with_message_count"]
    }
    assert counts["/lab/episode"] == 2 * TINY.num_episodes
    assert counts["/lab/image"] == TINY.num_episodes * bag_demo.NUM_FRAMES
    for moment in ("before", "after"):
        assert figures[f"target_contact_{moment}"] in (0.0, 1.0)
    manifest = json.loads((out / TINY.training / "tavid_adapter.json").read_text())
    shipped = bag_demo.ASSETS / "mini_adapter" / "tavid_adapter.json"
    assert manifest["training_step"] == json.loads(shipped.read_text())["training_step"] + 1
    assert figures["plan_uri"] == (out / "plan").as_uri()
    (options,) = asked
    assert options.adapter == str(out / TINY.training)
    assert options.prompt == read_records(out / "held_out_1")[0].text
    assert "[8/8] plan with it" in capfd.readouterr().out

    # Nothing but the plan is done again.
    monkeypatch.setattr(bag_demo, "run_step", lambda *_, **__: pytest.fail("done again"))
    monkeypatch.setattr(bag_demo, "record_lab", lambda *_, **__: pytest.fail("done again"))
    assert run_bag_demo(TINY, out) == figures
    with pytest.raises(InputError, match=r"out must hold .*'num_episodes': 3}, got"):
        run_bag_demo(BagDemo(num_episodes=3, num_scenes=1, num_steps=1), out)


def find_processes(marker):
    """Command lines of processes that name a folder."""
    answer = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True)
    return [line for line in answer.stdout.splitlines() if marker in line and "ps -eww" not in line]


@pytest.mark.render
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process_and_leaves_a_bag_that_can_be_done_again(tmp_path, number):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "benchmarks.bag_demo", "--num-episodes", "2", "--out", str(out)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        # In the middle of the recording, or of the drawing, whatever comes first.
        product = out / ("bag/bag.mcap" if number == signal.SIGINT else "episodes")
        wait_for(lambda: product.exists() or process.poll() is not None, 120.0)
        assert process.poll() is None
        assert len(find_processes(str(out))) >= 2
        os.kill(process.pid, number)
        assert process.wait(60) == 128 + number
    finally:
        process.kill()
    assert find_processes(str(out)) == []


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="out must be new or of this demo, got"):
        run_bag_demo(TINY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--num-scenes", "0"], "--num-scenes must be at least 1, got 0"),
        (["--domain", "moon"], "invalid choice: 'moon'"),
    ],
)
def test_wrong_words_are_told_at_once(words, told, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert told in capsys.readouterr().err


def test_a_size_from_make_is_checked(monkeypatch, capsys):
    monkeypatch.setenv("TAVID_DEMO_SIZE", "huge")
    with pytest.raises(SystemExit):
        main([])
    assert "SIZE must be one of small, full, got 'huge'" in capsys.readouterr().err


def test_a_step_that_fails_is_told(tmp_path):
    with pytest.raises(StepError, match=r"python -m training\.sources\.sim\.episodes must succeed"):
        run_step("training.sources.sim.episodes", ["--no-such-option"])
    assert run_step("this", [], stdout=tmp_path / "said") == 0
    assert "Beautiful is better than ugly." in (tmp_path / "said").read_text()
