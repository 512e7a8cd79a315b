"""A conversion: reproducible, resumable, and not ended by a bad file."""

import dataclasses
import json
import time

import cv2
import pytest

from tavid_core.errors import InputError
from tests.source_jobs import DrawnJob
from training.clip_check import ClipDemands, check_clips
from training.clips import METADATA_NAME, read_frames, read_mask, read_records
from training.sources.conversion import Shard, convert
from training.sources.cut_rules import CutRules
from training.sources.job_pool import run_in_processes
from training.sources.job_state import read_progress
from training.sources.merge import main as merge_main
from training.sources.merge import merge

RULES = CutRules(num_frames=17, size_hw=(64, 96))
JOBS = [DrawnJob(name, target) for target, name in enumerate(("a", "b", "c"))]
# The files of a drawn job that are the same in every run.
LOCKS = ("lock-",)


def convert_here(jobs, out, rules=RULES, **options):
    return convert(jobs, out, rules, **{"workers": 0, **options})


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(LOCKS)
    }


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "clips"
    return out, convert_here(JOBS, out)


def test_clips_can_be_trained_on(converted):
    out, report = converted
    assert (report.num_clips, report.exit_code) == (3, 0)
    records = read_records(out)
    assert [record.file_name for record in records] == [
        f"clips/{name}/take_000007.mp4" for name in "abc"
    ]
    demands = ClipDemands(num_frames=17, size_hw=(64, 96), num_slots=2, check_caption=len)
    assert check_clips(out, demands).problems == ()
    assert read_frames(out, records[0]).shape == (17, 64, 96, 3)
    assert read_mask(out, records[0].mask_file).sum() == 81


def test_report_counts_what_was_left_out(converted):
    out, report = converted
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(report.to_json()))
    assert told["rejected"] == {"actor never touches the target": 3}
    assert told["remarks"] == {"topics ignored": 6}
    assert told["losses"] == {}


def test_any_number_of_workers_writes_the_same_bytes(converted, tmp_path):
    convert(JOBS[::-1], tmp_path / "clips", RULES, workers=2)
    assert bytes_of(tmp_path / "clips") == bytes_of(converted[0])


def test_a_finished_file_is_not_done_again_and_a_new_one_is(tmp_path, capsys):
    out = tmp_path / "clips"
    convert_here(JOBS[:2], out)
    clip = out / "clips/a/take_000007.mp4"
    before = clip.stat().st_mtime_ns
    report = convert_here(JOBS, out)
    assert report.num_clips == 3
    assert clip.stat().st_mtime_ns == before
    told = capsys.readouterr()
    assert "2 of 3 files were done before" in told.err
    assert told.out == "", "stdout is for the report"


def test_a_changed_file_is_done_again(tmp_path):
    path = tmp_path / "file.bag"
    path.write_bytes(b"one")
    out = tmp_path / "clips"
    convert_here([DrawnJob("a", 0, path=path)], out)
    before = (out / "masks/a/take_000007.png").read_bytes()
    path.write_bytes(b"another")
    convert_here([DrawnJob("a", 2, path=path)], out)
    assert (out / "masks/a/take_000007.png").read_bytes() != before


def test_an_interrupted_conversion_goes_on(converted, tmp_path):
    out = tmp_path / "clips"
    convert_here(JOBS, out)
    # As a kill leaves it: one file not done, its clip torn, no list of clips yet.
    (out / "conversion/jobs/b.json").unlink()
    (out / "clips/b/take_000007.mp4").write_bytes(b"torn")
    (out / "clips/b/stray_000000.mp4").write_bytes(b"torn")
    (out / METADATA_NAME).unlink()
    convert_here(JOBS, out)
    assert bytes_of(out) == bytes_of(converted[0])


def test_other_rules_are_refused_or_start_anew(tmp_path):
    out = tmp_path / "clips"
    convert_here(JOBS[:1], out)
    other = dataclasses.replace(RULES, size_hw=(32, 48))
    with pytest.raises(InputError, match=r"another value of size_hw.*--restart"):
        convert_here(JOBS[:1], out, other)
    with pytest.raises(InputError, match="another value of settings"):
        convert_here(JOBS[:1], out, settings={"topic": "/camera"})
    assert len(read_records(out)) == 1
    convert_here(JOBS[1:2], out, other, restart=True)
    assert [path.name for path in (out / "clips").iterdir()] == ["b"]
    assert read_frames(out, read_records(out)[0]).shape == (17, 32, 48, 3)


def test_restart_begins_anew_with_the_same_rules_too(tmp_path):
    out = tmp_path / "clips"
    convert_here(JOBS[:2], out)
    clip = out / "clips/a/take_000007.mp4"
    clip.write_bytes(b"not made by the job")
    convert_here(JOBS[:1], out)
    assert clip.read_bytes() == b"not made by the job"
    convert_here(JOBS[:1], out, restart=True)
    assert read_frames(out, read_records(out)[0]).shape == (17, 64, 96, 3)
    # What is no longer asked for is gone as well.
    assert [path.name for path in (out / "clips").iterdir()] == ["a"]


def test_a_shard_that_begins_anew_leaves_the_others(converted, tmp_path):
    out = tmp_path / "clips"
    for index in (1, 2):
        convert_here(JOBS, out, shard=Shard(index, 2), restart=True)
    assert merge_main([str(out)]) == 0
    assert (out / METADATA_NAME).read_bytes() == (converted[0] / METADATA_NAME).read_bytes()
    other = dataclasses.replace(RULES, size_hw=(32, 48))
    convert_here(JOBS, out, other, shard=Shard(2, 2), restart=True)
    assert [path.name for path in (out / "clips").iterdir()] == ["b"]


def test_rules_that_cannot_be_read_are_other_rules(tmp_path):
    out = tmp_path / "clips"
    convert_here(JOBS[:1], out)
    for text in ("[]", '{"torn'):
        (out / "conversion/rules.json").write_text(text)
        with pytest.raises(InputError, match="another value of allows_still_target"):
            convert_here(JOBS[:1], out)
    assert convert_here(JOBS[:1], out, restart=True).num_clips == 1


def test_bad_files_are_reported_and_the_others_go_on(tmp_path):
    jobs = [
        JOBS[0],
        *(DrawnJob(f"x_{trouble}", trouble=trouble) for trouble in ("unreadable", "bug", "twice")),
        DrawnJob("y_torn", trouble="torn"),
        DrawnJob("z_lossy", trouble="lossy"),
    ]
    report = convert_here(jobs, tmp_path / "clips")
    assert report.exit_code == 3
    assert report.losses == {"frames lost": 3}
    assert sorted(report.failures) == ["x_bug", "x_twice", "x_unreadable", "y_torn"]
    assert "unexpected ZeroDivisionError at source_jobs.py" in report.failures["x_bug"]
    assert "names must differ" in report.failures["x_twice"]
    # What was read before the defect is kept.
    assert [len(result.clips) for result in report.results] == [1, 0, 1, 0, 1, 1]


def test_a_file_that_kills_its_process_does_not_end_the_others(tmp_path):
    jobs = [DrawnJob("a"), DrawnJob("b", trouble="deadly"), DrawnJob("c")]
    report = convert(jobs, tmp_path / "clips", RULES, workers=2)
    assert list(report.failures) == ["b"]
    assert "killed the process" in report.failures["b"]
    assert report.num_clips == 2


def test_a_file_says_how_far_it_is_and_leaves_nothing_of_it(tmp_path):
    out = tmp_path / "clips"
    job = DrawnJob("a", trouble="slow", path=out)
    # Its second recording looks at what was told before it.
    report = convert_here([job], out)
    assert (report.exit_code, report.remarks["told so far: 0.5"]) == (0, 1)
    assert read_progress(out, "a") == 0.0
    assert list((out / "conversion/progress").iterdir()) == []


def test_whoever_waits_is_called_while_processes_work():
    calls = []
    results = list(run_in_processes(time.sleep, [(0.8,)], 1, lambda: calls.append(1)))
    assert results == [(0, None)]
    assert len(calls) >= 2


def test_a_failed_file_is_tried_again(tmp_path):
    out = tmp_path / "clips"
    assert convert_here([JOBS[0], DrawnJob("b", trouble="torn")], out).exit_code == 3
    assert convert_here(JOBS[:2], out).exit_code == 0


def test_nothing_kept_leaves_no_list_of_clips(tmp_path):
    out = tmp_path / "clips"
    rules = dataclasses.replace(RULES, min_target_share=0.5)
    report = convert_here(JOBS[:1], out, rules)
    assert (report.num_clips, report.exit_code) == (0, 2)
    assert not (out / METADATA_NAME).exists()
    assert (out / "report.html").exists()


def test_recordings_without_a_mask_leave_a_picture_to_click_on(tmp_path):
    out = tmp_path / "clips"
    report = convert_here([DrawnJob("a", trouble="unmarked")], out)
    name = "conversion/unmarked/a/take.jpg"
    assert [note.detail for note in report.results[0].notes if "without a mask" in note.reason] == [
        name
    ]
    # Of the recording's own size, so that pixels can be told.
    assert cv2.imread(str(out / name)).shape == (64, 96, 3)
    assert not (out / "conversion/unmarked/a/still.jpg").exists()


def test_recordings_without_a_caption_are_told(tmp_path):
    report = convert_here([DrawnJob("a", trouble="silent")], tmp_path / "clips")
    (note,) = [note for note in report.results[0].notes if "without a caption" in note.reason]
    assert (note.detail, note.is_loss, report.num_clips) == ("take", False, 1)


def test_two_shards_in_one_folder_give_the_whole(converted, tmp_path):
    out = tmp_path / "clips"
    convert_here(JOBS, out, shard=Shard(1, 2))
    assert not (out / METADATA_NAME).exists()
    with pytest.raises(InputError, match=r"got none for \[2\].*--shard 2/2"):
        merge([out], out)
    convert_here(JOBS, out, shard=Shard(2, 2))
    assert merge_main([str(out)]) == 0
    for name in (METADATA_NAME, "report.json", "report.html"):
        assert (out / name).read_bytes() == (converted[0] / name).read_bytes()


def test_shards_of_two_machines_are_copied_together(converted, tmp_path, capsys):
    folders = [tmp_path / "one", tmp_path / "two"]
    for index, folder in enumerate(folders, start=1):
        convert_here(JOBS, folder, shard=Shard(index, 2))
    words = [*map(str, folders), "--out", str(tmp_path / "all")]
    assert merge_main(words) == 0
    assert read_records(tmp_path / "all") == read_records(converted[0])
    assert merge_main(words) == 2
    assert "out must be new or empty" in capsys.readouterr().err


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds something else"):
        convert_here(JOBS, tmp_path)
    with pytest.raises(InputError, match="must be of a conversion"):
        merge([tmp_path], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_unsafe_and_equal_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="job name must be"):
        convert_here([DrawnJob("../a")], tmp_path / "clips")
    with pytest.raises(InputError, match="job names must differ"):
        convert_here([JOBS[0], JOBS[0]], tmp_path / "clips")
    with pytest.raises(InputError, match="at least one file"):
        convert_here([], tmp_path / "clips")
