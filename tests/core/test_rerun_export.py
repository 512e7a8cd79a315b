"""Plans as Rerun recordings; read back by Rerun's own program where it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tavid_core.cli import main
from tavid_core.errors import MissingExtraError
from tavid_core.io import save_plan
from tavid_core.rerun_export import write_rerun
from tests.ros.messages import make_motion, make_plan, make_track

needs_rerun = pytest.mark.skipif(
    importlib.util.find_spec("rerun") is None, reason="needs the extra rerun, of 170 MB"
)


def list_entities(path):
    """Ask Rerun what a recording holds."""
    command = [sys.executable, "-m", "rerun_cli", "rrd", "stats", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout + done.stderr


@needs_rerun
def test_a_recording_holds_every_part_of_a_plan(tmp_path, capsys):
    save_plan(make_plan(), tmp_path / "plan")
    assert main(["show", str(tmp_path / "plan"), "--rerun", str(tmp_path / "a" / "out.rrd")]) == 0
    assert "open it with: rerun" in capsys.readouterr().out
    found = list_entities(tmp_path / "a" / "out.rrd")
    for entity in (
        "/camera",
        "/camera/overlay",
        "/camera/target_mask",
        "/rollout",
        "/actor/points",
        "/actor/skeleton",
        "/hands/points",
        "/hands/left_hand/path",
        "/hands/right_hand/path",
        "/target/box",
        "/target/path",
        "/contact",
        "/summary",
    ):
        assert entity in found, found


@needs_rerun
def test_a_plan_with_lost_points_and_no_actor_is_written_too(tmp_path):
    motion = make_motion(hands=(), body=(), target=make_track("target", lost=(0, 3, 8)))
    write_rerun(make_plan(motion=motion), tmp_path / "out.rrd")
    found = list_entities(tmp_path / "out.rrd")
    assert "/target/box" in found
    assert "/hands/left_hand/path" not in found


def test_without_rerun_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tavid\[rerun\]'"):
        write_rerun(make_plan(), tmp_path / "out.rrd")
    save_plan(make_plan(), tmp_path / "plan")
    assert main(["show", str(tmp_path / "plan"), "--rerun", str(tmp_path / "out.rrd")]) == 1
    assert "tavid[rerun]" in capsys.readouterr().err
    assert not (tmp_path / "out.rrd").exists()
