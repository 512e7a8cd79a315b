"""Clips of all data sets in one folder train one adapter."""

from tests.tiny import HEIGHT, WIDTH, make_pipeline
from tests.training.sources.drawn_touch import draw_touch, write_mask, write_mask_video, write_video
from tests.training.sources.published_behave import write_pack
from tests.training.sources.published_egoexo4d import describe, write_egoexo4d
from tests.training.sources.published_lerobot import write_lerobot
from training.clips import read_records
from training.finetune import main as finetune_main
from training.sources.behave import command as behave_command
from training.sources.egoexo4d import command as egoexo4d_command
from training.sources.join import main as join_main
from training.sources.lerobot import command as lerobot_command
from training.sources.video import command as video_command

SIZE_HW = (64, 96)
NUM_FRAMES = 17


def write_sources(root):
    """Write a miniature of each data set; gives the words that convert it."""
    drawn = draw_touch(num_frames=120, contact=60, size_hw=SIZE_HW)
    write_video(root / "lab" / "push.mp4", drawn.frames)
    write_mask(root / "lab" / "push_mask.png", drawn.target_masks[0])
    write_mask_video(root / "lab" / "push_actor.mp4", drawn.actor_masks)
    write_pack(root / "packs", drawn)
    longer = draw_touch(num_frames=240, contact=120, size_hw=SIZE_HW)
    write_egoexo4d(root / "takes", longer, descriptions=[describe(timestamp=4.0)], poses=False)
    write_lerobot(root / "episodes", [drawn])
    column, row = drawn.target_pixels[0].tolist()
    box = f"{column - 9:.0f},{row - 9:.0f},{column + 9:.0f},{row + 9:.0f}"
    clicks = root / "clicks.csv"
    clicks.write_text(f"recording,frame,kind,x,y,x1,y1\n*,0,box,{box}\n")
    return {
        "video": (video_command, root / "lab", "--caption", "A person moves a disc."),
        "behave": (behave_command, "--packs", root / "packs"),
        "egoexo4d": (egoexo4d_command, root / "takes", "--allow-unknown-actor"),
        "lerobot": (lerobot_command, root / "episodes", "--clicks", clicks),
    }


def test_clips_of_all_data_sets_train_one_adapter(tmp_path):
    rules = ["--size", f"{WIDTH}x{HEIGHT}", "--num-frames", NUM_FRAMES, "--workers", "0"]
    sources = write_sources(tmp_path)
    for name, (command, *words) in sources.items():
        arguments = [*words, *rules, "--out", tmp_path / "clips" / name]
        assert command.main([str(word) for word in arguments]) == 0
    folders = [tmp_path / "clips" / name for name in sources]
    assert join_main([*map(str, folders), "--out", str(tmp_path / "all")]) == 0
    assert sorted(record.source for record in read_records(tmp_path / "all")) == sorted(sources)
    # Room for the longest of their captions, as CogVideoX has it.
    pipeline = make_pipeline(sample_frames=NUM_FRAMES, max_text_seq_length=64)
    pipeline.save_pretrained(tmp_path / "base", safe_serialization=True)
    words = ["debug_cpu", "--base", tmp_path / "base", "--clips", tmp_path / "all"]
    words += ["--out", tmp_path / "adapter", "--set", "steps=2"]
    assert finetune_main([str(word) for word in words]) == 0
    assert (tmp_path / "adapter/tavid_adapter.json").is_file()
