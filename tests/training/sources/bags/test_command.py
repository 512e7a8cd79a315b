"""The command: look into bags, convert them, tell what was lost, in any number of processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bag_maker import STORE, BagScene, Entry, make_messages, write_mcap
from tests.source_tree import ROOT
from tests.training.sources.bags.bag_helpers import TOPICS
from training.clips import read_frames, read_mask, read_records, read_truth
from training.sources.bags.command import main, name_bags
from training.sources.bags.topic_map import read_topic_map

# Long enough for a clip of 17 frames around the contact at 1.5 s.
SCENE = BagScene(num_images=60, is_compressed=False, with_depth=True)
CLIPS = ["--preset", "mini", "--min-target-share", "0.001"]


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags")
    (folder / "topics.yaml").write_text(TOPICS.to_yaml())
    for name in ("a", "b"):
        scene = BagScene(num_images=60, prompt=f"A person moves box {name}.")
        write_mcap(folder / f"{name}.mcap", make_messages(scene))
    return folder


def convert(bags, out, *words):
    """Convert in this process; the bag itself is read in another one in any case."""
    words = [*words, "--topics", str(bags / "topics.yaml")]
    return main([*map(str, sorted(bags.glob("*.mcap"))), "--out", str(out), *CLIPS, *words])


def bytes_of(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.name.startswith("lock-")
    }


@pytest.fixture(scope="module")
def converted(bags, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "clips"
    assert convert(bags, out, "--workers", "0") == 0
    return out


def test_a_map_is_written_looked_at_and_read_back(tmp_path, capsys):
    bag, topics = tmp_path / "bag.mcap", tmp_path / "topics.yaml"
    write_mcap(bag, make_messages(SCENE))
    assert main([str(bag), "--inspect", "--topics", str(topics)]) == 0
    told = capsys.readouterr().out
    rows = [line.split() for line in told.splitlines()]
    image = "sensor_msgs/msg/Image"
    assert ["/camera/depth", image, "60", "0", "20.0", "0.05", "s", "96x64", "16UC1"] in rows
    assert "A person moves the box." in told
    topic_map = read_topic_map(topics)
    assert topic_map.cameras["camera"].image == "/camera/image"
    assert topic_map.cameras["camera"].depth == "/camera/depth"
    assert topic_map.cameras["camera"].actor_mask == "/camera/actor_mask"
    assert topic_map.prompt == "/prompt"
    words = [str(bag), "--out", str(tmp_path / "clips"), *CLIPS, "--workers", "0"]
    assert main([*words, "--topics", str(topics), "--licence", "CC0-1.0"]) == 0
    (record,) = read_records(tmp_path / "clips")
    assert (record.text, record.licence) == (SCENE.prompt, "CC0-1.0")
    assert (record.camera.width, record.camera.height) == (96, 64)
    frames = read_frames(tmp_path / "clips", record)
    start = int(record.file_name[-10:-4])
    image = int(np.ceil(start * 2.5 - 0.5))
    assert np.abs(frames[0].astype(int) - SCENE.draw(image)).mean() < 4
    np.testing.assert_array_equal(
        read_mask(tmp_path / "clips", record.mask_file), SCENE.target_mask(image)
    )
    depth_m = read_truth(tmp_path / "clips", record)["depth_m"]
    np.testing.assert_allclose(depth_m, (1000 + image) / 1000)
    # A map that is there is never written over.
    assert main([str(bag), "--inspect", "--topics", str(topics)]) == 2
    assert "topics must be a new file" in capsys.readouterr().err


def test_a_guess_is_told_beside_the_report(bags, tmp_path, capsys):
    words = [str(bags / "a.mcap"), "--out", str(tmp_path / "clips"), "--workers", "0", *CLIPS]
    main(words)
    told = capsys.readouterr()
    assert "topics were guessed from a.mcap; --inspect shows them" in told.err
    assert "guessed" not in told.out


def test_a_look_without_a_file_prints_the_map(bags, capsys):
    assert main([str(bags / "a.mcap"), "--inspect"]) == 0
    assert "image: /camera/image/compressed" in capsys.readouterr().out


def test_any_number_of_workers_writes_the_same_bytes(bags, converted, tmp_path):
    assert convert(bags, tmp_path / "clips", "--workers", "2") == 0
    assert bytes_of(tmp_path / "clips") == bytes_of(converted)


def test_names_come_from_the_bags(converted):
    names = [record.file_name for record in read_records(converted)]
    assert [name[:-10] for name in names] == [f"clips/{bag}/{bag}-front-e000-000_" for bag in "ab"]


def test_bags_of_the_same_name_are_numbered(tmp_path):
    paths = [tmp_path / "x/evening.mcap", tmp_path / "y/evening.mcap", tmp_path / "Tag 1.db3.zstd"]
    assert name_bags(paths) == ["evening", "evening_2", "Tag_1"]
    assert name_bags([tmp_path / "..mcap"]) == ["_"]


def test_an_interrupted_conversion_goes_on(bags, converted, tmp_path):
    out = tmp_path / "clips"
    shutil.copytree(converted, out)
    before = (out / "clips/a").stat().st_mtime_ns
    # As a kill leaves it: one bag not done, its clip torn, no list of clips yet.
    (out / "conversion/jobs/b.json").unlink()
    next((out / "clips/b").iterdir()).write_bytes(b"torn")
    (out / "metadata.jsonl").unlink()
    assert convert(bags, out, "--workers", "0") == 0
    assert bytes_of(out) == bytes_of(converted)
    assert (out / "clips/a").stat().st_mtime_ns == before


def test_the_script_of_the_documentation_converts_a_shard_in_each_task(bags, converted, tmp_path):
    """Two tasks of a SLURM array at the same time, one of them sent again by itself."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH .*?)```", text, re.DOTALL)
    (merge,) = re.findall(r"^sbatch --wait convert.sh; (python .*)$", text, re.MULTILINE)
    assert "#SBATCH --array=1-16\n" in script
    assert script.count("/16") == 1
    script = script.replace("/16", "/2").replace("/shared", str(tmp_path)).rstrip()
    shutil.copytree(bags, tmp_path / "recordings", ignore=shutil.ignore_patterns("*.yaml"))
    shutil.copy(bags / "topics.yaml", tmp_path)

    def start(command, task=1):
        # A task that is sent again is an array of one.
        variables = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "1"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", command], cwd=tmp_path,
            env={**os.environ, **variables, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    tasks = [start(f"{script} {' '.join(CLIPS)}", task) for task in (1, 2)]
    told = [task.communicate(timeout=120)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], told
    assert ["1 clips from 1 files" in text for text in told] == [True, True]
    out = tmp_path / "clips"
    assert not (out / "metadata.jsonl").exists()
    merging = start(merge.replace("/shared", str(tmp_path)))
    assert "2 clips from 2 files" in merging.communicate(timeout=120)[0]
    assert merging.returncode == 0
    for name in ("metadata.jsonl", "report.json", "report.html"):
        assert (out / name).read_bytes() == (converted / name).read_bytes()


def test_a_folder_of_bags_is_no_bag_and_says_what_to_name(bags, tmp_path, capsys):
    shutil.copytree(bags, tmp_path / "evenings/first")
    assert main([str(tmp_path / "evenings"), "--inspect"]) == 2
    assert f"Name the bags in it: {tmp_path}/evenings/*" in capsys.readouterr().err


def test_another_licence_in_the_same_folder_is_not_lost(bags, converted, tmp_path, capsys):
    out = tmp_path / "clips"
    shutil.copytree(converted, out)
    words = ["--workers", "0", "--licence", "CC-BY-4.0"]
    assert convert(bags, out, *words) == 2
    assert "got another value of settings" in capsys.readouterr().err
    assert convert(bags, out, *words, "--restart") == 0
    assert {record.licence for record in read_records(out)} == {"CC-BY-4.0"}


def test_a_file_of_a_bag_folder_that_was_repaired_in_place_is_read_again(bags, tmp_path):
    evening = tmp_path / "evening"
    evening.mkdir()
    file, whole = evening / "a.mcap", (bags / "a.mcap").read_bytes()
    file.write_bytes(whole[: len(whole) * 8 // 10])
    words = [str(evening), "--topics", str(bags / "topics.yaml"), *CLIPS, "--workers", "0"]
    out = tmp_path / "clips"
    assert main([*words, "--out", str(out)]) == 3
    before_ns = evening.stat().st_mtime_ns
    with file.open("r+b") as stream:
        stream.write(whole)
    assert evening.stat().st_mtime_ns == before_ns
    assert main([*words, "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["losses"] == {}
    assert report["remarks"]["messages of /camera/image/compressed read"] == 60


def test_lost_data_gives_exit_code_3_and_is_counted(bags, tmp_path, capsys):
    data = (bags / "a.mcap").read_bytes()
    torn = tmp_path / "bags"
    torn.mkdir()
    shutil.copy(bags / "topics.yaml", torn)
    (torn / "torn.mcap").write_bytes(data[: len(data) * 80 // 100])
    assert convert(torn, tmp_path / "clips", "--workers", "0") == 3
    told = json.loads((tmp_path / "clips/report.json").read_text())
    assert told["exit_code"] == 3
    assert told["losses"]["a file that was cut off"] == 1
    kept = told["remarks"]["messages of /camera/image/compressed read"]
    assert 50 <= kept < 60
    assert "lost          1  a file that was cut off" in capsys.readouterr().out
    assert main([str(torn / "torn.mcap"), "--inspect"]) == 3
    assert "LOST: a file that was cut off" in capsys.readouterr().out


def test_nothing_usable_gives_exit_code_2(tmp_path, bags, capsys):
    (tmp_path / "no.mcap").write_bytes(b"none")
    assert main([str(tmp_path / "no.mcap"), "--out", str(tmp_path / "x")]) == 2
    assert "no.mcap must be an MCAP file" in capsys.readouterr().err
    assert main([str(bags / "a.mcap"), "--out", str(tmp_path / "y"), "--topics", "none.yaml"]) == 2
    assert "topic map must be a readable file" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


def test_a_prompt_of_the_command_stands_in_where_the_bag_says_none(tmp_path, bags):
    path = tmp_path / "silent.mcap"
    write_mcap(path, (e for e in make_messages(SCENE) if e.topic != "/prompt"))
    words = ["--prompt", "A person moves a thing.", "--workers", "0"]
    assert main([str(path), "--out", str(tmp_path / "clips"), *CLIPS, *words]) == 0
    assert [r.text for r in read_records(tmp_path / "clips")] == ["A person moves a thing."]


def test_a_bag_cannot_write_to_the_terminal(tmp_path, capsys):
    path = tmp_path / "bag.mcap"
    evil = STORE.types["std_msgs/msg/String"](data="\x1b[2J\x07")
    write_mcap(path, iter([Entry("/prompt", 0, evil), *make_messages(BagScene(num_images=2))]))
    assert main([str(path), "--inspect"]) == 0
    told = capsys.readouterr().out
    assert "?[2J?" in told
    assert "\x1b" not in told
