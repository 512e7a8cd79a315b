"""Records a bag of episodes: a camera that plays them and a recorder, two processes over DDS."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.step_process import StepError
from tavid_ros.demo import own_domain
from tavid_ros.episodes import list_episodes
from tavid_ros.processes import NodeProcess
from training.sources.bags.topic_map import CameraTopics, ContactTopic, TopicMap

__all__ = ["TOPICS", "record_lab"]

RATE_HZ = 8.0
NAMESPACE = "lab"
_POLL_SEC = 0.2
_START_SEC = 60.0
# The last messages are still on their way when the camera has ended.
_LINGER_SEC = 1.0

# What a lab would write by hand for its robot.
TOPICS = TopicMap(
    cameras={
        "camera": CameraTopics(
            image="/lab/image",
            camera_info="/lab/camera_info",
            target_mask="/lab/target_mask",
            actor_mask="/lab/actor_mask",
        )
    },
    prompt="/lab/prompt",
    marker="/lab/episode",
    contact=ContactTopic(topic="/lab/contact"),
    episodes="marker",
)


@own_domain()
def record_lab(episodes: Path, bag: Path, folder: Path, *, num_frames: int) -> None:
    """Play every episode once, in real time, and record it.

    Args:
        episodes: Folder of videos with masks.
        bag: Bag to write. What an interrupted recording has left there is taken away.
        folder: For the logs of both nodes.
        num_frames: Of one episode.

    Raises:
        StepError: If one of the nodes ended badly.
    """
    if bag.exists():
        shutil.rmtree(bag)
    num_sec = len(list_episodes(episodes)) * num_frames / RATE_HZ
    camera_parameters = {
        "source": "episodes",
        "path": str(episodes.absolute()),
        "rate_hz": RATE_HZ,
        "loop": False,
        "wait_for_listeners": True,
    }
    recorder = NodeProcess(
        "tavid_ros.recorder_node", {"bag": str(bag.absolute())}, folder, namespace=NAMESPACE
    )
    with (
        recorder,
        NodeProcess(
            "tavid_ros.camera_node", camera_parameters, folder, namespace=NAMESPACE
        ) as camera,
        tqdm(total=round(num_sec), desc="recording", unit="s") as bar,
    ):
        _wait_for_bag(bag, recorder)
        start_sec = time.monotonic()
        while camera.exit_status is None:
            _check_alive(recorder)
            bar.update(min(bar.total, int(time.monotonic() - start_sec)) - bar.n)
            time.sleep(_POLL_SEC)
        _check_ended(camera)
        time.sleep(_LINGER_SEC)
        recorder.end()
        _check_ended(recorder)


def _wait_for_bag(bag: Path, recorder: NodeProcess) -> None:
    deadline_sec = time.monotonic() + _START_SEC
    while not bag.exists():
        _check_alive(recorder)
        if time.monotonic() > deadline_sec:
            raise StepError(
                f"the recorder must start within {_START_SEC:g} s, got nothing. It said last:\n"
                f"{recorder.read_log_tail() or '(nothing)'}"
            )
        time.sleep(_POLL_SEC)


def _check_alive(node: NodeProcess) -> None:
    if node.exit_status is not None:
        _check_ended(node)
        raise StepError(f"{node.log_path.stem} must run on, got its end. See {node.log_path}.")


def _check_ended(node: NodeProcess) -> None:
    if node.exit_status:
        raise StepError(
            f"{node.log_path.stem} must end well, got exit status {node.exit_status}. It said "
            f"last:\n{node.read_log_tail()}"
        )
