"""Making the environment: where torch comes from, and which Python may be in it."""

from __future__ import annotations

import importlib
import platform
import socket
import subprocess
import sys
import time

import pytest

from tests.source_tree import ROOT, environment_without

on_linux = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="setup.sh works on Linux on x86_64 only",
)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@pytest.fixture
def setup_env(monkeypatch):
    """The module tools/setup_env.py."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    yield importlib.import_module("setup_env")
    for name in ("setup_env", "ros_env"):
        sys.modules.pop(name, None)


def refuse_to_ask(url):
    raise AssertionError(f"{url} must not be asked for")


@pytest.mark.parametrize("settings", ["", "global.timeout='60'\n:env:.no-input='1'\n"])
def test_a_plain_machine_gets_torch_for_the_cpu(setup_env, settings):
    asked = []
    options = setup_env.choose_torch_options(
        {"PATH": "/usr/bin"}, settings, lambda url: asked.append(url) or True
    )
    assert options == ["--extra-index-url", CPU_INDEX]
    assert asked == [f"{CPU_INDEX}/torch/"]


def test_without_a_network_nothing_is_added(setup_env):
    assert setup_env.choose_torch_options({}, "", lambda url: False) == []


@pytest.mark.parametrize("words", ["", "--find-links /wheels"])
def test_options_of_the_user_are_all_there_is(setup_env, words):
    assert setup_env.choose_torch_options({"TAVID_PIP_ARGS": words}, "", refuse_to_ask) == []


@pytest.mark.parametrize(
    "line",
    [
        "global.extra-index-url='https://mirror.example/simple'",
        "global.index-url='https://mirror.example/simple'",
        "install.find-links='/opt/wheels'",
        ":env:.find-links='/opt/wheels'",
        "global.no-index='true'",
    ],
)
def test_sources_that_pip_is_configured_with_are_respected(setup_env, line):
    settings = f"global.timeout='60'\n{line}\n"
    assert setup_env.choose_torch_options({}, settings, refuse_to_ask) == []


def test_a_server_that_never_answers_costs_no_more_than_the_limit(setup_env):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        assert not setup_env.is_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.3)
        assert time.monotonic() - begin < 5.0


def test_a_refused_connection_is_no_error(setup_env):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not setup_env.is_reachable(f"http://127.0.0.1:{port}/", 5.0)


def run_setup(tmp_path, version):
    """Run setup.sh with an environment whose Python says that it has the given version."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/bin/sh\n"
        'if [ "$1" != -c ]; then echo "setup_env.py was started"; exit 0; fi\n'
        f'exec "{sys.executable}" -c '
        f"'import sys; code = sys.argv[1]; sys.version_info = {version}; exec(code)' \"$2\"\n"
    )
    python.chmod(0o755)
    return subprocess.run(
        ["sh", str(ROOT / "tools" / "setup.sh")],
        env=environment_without("PYTHON") | {"VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        timeout=60,
    )


@on_linux
@pytest.mark.parametrize("version", [(3, 9, 2), (3, 14, 0)])
def test_an_environment_of_another_python_is_refused_in_one_line(tmp_path, version):
    done = run_setup(tmp_path, version)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "must hold Python 3.10 to 3.13" in done.stderr
    assert "make distclean" in done.stderr
    assert "was started" not in done.stdout


@on_linux
def test_an_environment_of_a_good_python_is_used(tmp_path):
    done = run_setup(tmp_path, (3, 12, 1))
    assert done.returncode == 0, done.stderr
    assert "setup_env.py was started" in done.stdout
