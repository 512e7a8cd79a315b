"""A miniature copy of a LeRobot data set of format 3."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tests.training.sources.drawn_touch import write_video
from tests.training.sources.published_behave import write_json

CAMERA = "observation.images.front"


def write_table(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.table(columns), path)


def write_info(root, num_episodes, size_hw, *, fps, robot, names, version):
    """`meta/info.json`."""
    names = names or {"motors": ["shoulder_pan", "elbow", "gripper"]}
    video = {"dtype": "video", "shape": [3, *size_hw], "info": {"video.is_depth_map": False}}
    depth = {"dtype": "video", "shape": [1, *size_hw], "info": {"video.is_depth_map": True}}
    state = {"dtype": "float32", "shape": [3], "names": names}
    write_json(
        root / "meta" / "info.json",
        {
            "codebase_version": version,
            "robot_type": robot,
            "total_episodes": num_episodes,
            "fps": fps,
            "splits": {"train": f"0:{num_episodes}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": {
                CAMERA: video,
                "observation.images.depth": depth,
                "observation.state": state,
                "action": state,
                "timestamp": {"dtype": "float32", "shape": [1], "names": None},
            },
        },
    )


def write_lerobot(root, episodes, *, fps=30, robot="so100", names=None, version="v3.0"):
    """Several drawn episodes in one video and one table; the gripper closes at the contact."""
    size_hw = episodes[0].frames.shape[1:3]
    write_info(root, len(episodes), size_hw, fps=fps, robot=robot, names=names, version=version)
    low, high = [0.0, 0.0, 5.0], [1.0, 1.0, 95.0]
    write_json(root / "meta" / "stats.json", {"observation.state": {"min": low, "max": high}})
    write_table(
        root / "meta" / "tasks.parquet", {"task_index": [0], "task": ["Pick up the red disc."]}
    )
    write_video(
        root / "videos" / CAMERA / "chunk-000" / "file-000.mp4",
        np.concatenate([drawn.frames for drawn in episodes]),
        fps,
    )
    rows, places, first = {"state": [], "time": [], "episode": []}, [], 0
    for index, drawn in enumerate(episodes):
        count = len(drawn.frames)
        closed = np.clip((np.arange(count) - drawn.contact + 5) / 5, 0, 1)
        width = high[2] - closed * 60 if robot == "so100" else low[2] + closed * 60
        rows["state"] += [[0.5, 0.5, float(value)] for value in width]
        rows["time"] += (np.arange(count) / fps).tolist()
        rows["episode"] += [index] * count
        places.append((first, first + count))
        first += count
    write_table(
        root / "data" / "chunk-000" / "file-000.parquet",
        {
            "observation.state": pa.array(rows["state"], pa.list_(pa.float32())),
            "timestamp": pa.array(rows["time"], pa.float32()),
            "episode_index": rows["episode"],
            "task_index": [0] * first,
        },
    )
    count = len(episodes)
    write_table(
        root / "meta" / "episodes" / "chunk-000" / "file-000.parquet",
        {
            "episode_index": list(range(count)),
            "tasks": [["Pick up the red disc."]] * count,
            "length": [stop - start for start, stop in places],
            "data/chunk_index": [0] * count,
            "data/file_index": [0] * count,
            "dataset_from_index": [start for start, _ in places],
            "dataset_to_index": [stop for _, stop in places],
            f"videos/{CAMERA}/chunk_index": [0] * count,
            f"videos/{CAMERA}/file_index": [0] * count,
            f"videos/{CAMERA}/from_timestamp": [start / fps for start, _ in places],
            f"videos/{CAMERA}/to_timestamp": [stop / fps for _, stop in places],
        },
    )
