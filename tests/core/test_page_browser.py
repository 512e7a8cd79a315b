"""The plan page in a real browser: its script runs to the end and draws."""

import re
import subprocess

import cv2
import numpy as np
import pytest

from tavid_core.page import render_page
from tests.drawn import draw_plan, fill_plan

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--window-size=1280,1100",
    "--virtual-time-budget=5000",
)


def browse(browser_path, tmp_path, plan, *flags, frame=0):
    page = tmp_path / "plan.html"
    page.write_text(render_page(plan), encoding="utf-8")
    command = [browser_path, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags]
    done = subprocess.run(
        [*command, f"{page.as_uri()}#frame={frame}"], capture_output=True, timeout=120, check=True
    )
    return done.stdout.decode("utf-8")


def dump(browser_path, tmp_path, plan, frame=0):
    return browse(browser_path, tmp_path, plan, "--dump-dom", frame=frame)


def test_script_reaches_its_end_at_the_asked_frame(browser_path, tmp_path):
    plan = draw_plan()
    dom = dump(browser_path, tmp_path, plan, frame=12)
    root = re.search(r"<html[^>]*>", dom).group()
    assert 'data-status="ready"' in root
    assert 'data-video="loaded"' in root
    assert 'data-frame="12"' in root
    assert ">1.50 s</output>" in dom
    assert dom.count('class="bar"') == len(plan.motion.confidence)
    assert "model_sha256" in dom


def test_parts_of_the_motion_are_under_the_timeline(browser_path, tmp_path):
    dom = dump(browser_path, tmp_path, fill_plan(draw_plan()), frame=2)
    assert 'data-status="ready"' in dom
    assert 'class="span approach" title="approach: 0.00 to 0.88 s"' in dom
    assert re.search(r'class="span transport"[^>]*>transport</div>', dom)
    assert re.search(r'<div id="touch"[^>]*><span class="">touch \d\.\d\d s</span>', dom)
    assert re.search(r'id="state">right hand · approach · \d+ cm from the target\'s centre<', dom)


def test_hostile_prompt_runs_nothing(browser_path, tmp_path):
    prompt = "x</script><script>document.title='owned'</script><img src=x onerror='alert(1)'>"
    dom = dump(browser_path, tmp_path, draw_plan(prompt=prompt))
    assert "<title>Target" in dom or "<title>target" in dom
    assert 'data-status="ready"' in dom
    assert "&lt;/script&gt;" in dom


def test_plan_without_actor_or_depth_is_shown_too(browser_path, tmp_path):
    plan = draw_plan(hand_confidence=0.0, depth_m=None, intrinsics=None)
    dom = dump(browser_path, tmp_path, plan)
    assert 'data-status="ready"' in dom
    assert "No actor found: do not trust the motion" in dom
    assert "no actor is seen" in dom


def test_three_dimensional_view_is_drawn(browser_path, tmp_path):
    shot = tmp_path / "shot.png"
    browse(browser_path, tmp_path, draw_plan(), f"--screenshot={shot}", frame=12)
    picture = cv2.imread(str(shot))[..., ::-1].astype(int)
    right_half = picture[100:640, 660:1240]
    for color in ((77, 208, 255), (255, 105, 150), (120, 255, 170)):
        distance = np.abs(right_half - color).sum(axis=-1)
        assert (distance < 40).sum() > 20, color
