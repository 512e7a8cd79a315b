"""Runs on one machine have domains of their own, and give them back."""

import subprocess
import sys
from uuid import uuid4

import pytest

from tavid_core.errors import NotReadyError
from tavid_ros import ros_domain
from tavid_ros.ros_domain import RosDomain

HOLD = """
from tavid_ros.ros_domain import RosDomain
domain = RosDomain()
print(domain.number, flush=True)
input()
"""


def test_two_runs_have_two_domains_also_in_two_processes():
    with RosDomain() as one, RosDomain() as two:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", HOLD], **pipes, text=True) as other:
            numbers = {one.number, two.number, int(other.stdout.readline())}
            other.kill()
    assert len(numbers) == 3
    assert all(1 <= number <= 100 for number in numbers)


@pytest.fixture(autouse=True)
def shared_memory(monkeypatch, tmp_path):
    """Shared memory that nobody uses."""
    monkeypatch.setattr(ros_domain, "_SHARED_MEMORY", tmp_path)
    return tmp_path


@pytest.fixture
def own_names(monkeypatch):
    """Sockets that no other run on this machine asks for."""
    monkeypatch.setattr(ros_domain, "_SOCKET_PREFIX", f"\0test_{uuid4()}_")


@pytest.mark.usefixtures("own_names")
def test_a_domain_in_which_somebody_was_killed_comes_last(monkeypatch, shared_memory):
    with RosDomain() as first:
        pass
    # The second participant's port; 10161 is one of domain 11.
    (shared_memory / f"fastrtps_port{7400 + 250 * first.number + 13}").touch()
    (shared_memory / "fastrtps_portal").touch()
    with RosDomain() as second:
        assert second.number == 1 + first.number % 100
    for number in range(1, 101):
        (shared_memory / f"fastrtps_port{7400 + 250 * number + 11}").touch()
    with RosDomain() as any_one:
        assert any_one.number == first.number


@pytest.mark.usefixtures("own_names")
def test_a_domain_that_was_given_back_is_free(monkeypatch):
    with RosDomain() as taken:
        pass
    monkeypatch.setattr(ros_domain.os, "getpid", lambda: taken.number - 1)
    with RosDomain() as again:
        assert again.number == taken.number


def test_a_machine_without_a_free_domain_is_told(monkeypatch):
    monkeypatch.setattr(ros_domain, "_NUM_DOMAINS", 0)
    with pytest.raises(NotReadyError, match="ROS domains must be free, got all taken"):
        RosDomain()
