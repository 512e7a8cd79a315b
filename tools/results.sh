#!/bin/sh
# Draw the clips of docs/results.md, train and measure its rows from nothing, and put the log in
# the place of the committed one. Run again, it goes on; without runs/results it begins anew.
set -eu
cd "$(dirname "$0")/.."
python="${VENV:-.venv}/bin/python"
data=runs/results/data log=runs/results/runs.jsonl
export MUJOCO_GL="${MUJOCO_GL:-osmesa}" PYOPENGL_PLATFORM="${PYOPENGL_PLATFORM:-osmesa}"

draw() {
    folder="$data/$1" split="$2" num_clips="$3"
    shift 3
    "$python" -m training.sources.sim --out "$folder" --num-clips "$num_clips" --split "$split" "$@"
}

# DEVICE=cuda:1 and the like; without it the GPU if there is one, else the CPU.
ablate() {
    "$python" -m training.ablate --log "$log" --device "${DEVICE:-auto}" "$@"
}

steps="25 50 100 200 400 800 2000"
untrained="base attention_modulation attention_modulation_all_frames"

# World 0, the easy one.
draw train train 5000
draw validation validation 60 --num-objects 4 --look-alikes
draw held_out held_out 200 --num-objects 4 --look-alikes
for number in 2 3; do
    draw "look_alikes_$number" held_out 200 --num-objects "$number" --look-alikes
done
# What no clip of the fine-tuning shows, and beside it what such scenes are with known kinds and
# persons; the base model has seen arms.
draw person held_out 200 --world 1 --num-objects 3 --look-alikes --actor person
draw unseen_kinds held_out 200 --world 1 --num-objects 3 --look-alikes --actor person --unseen-kinds
draw arm held_out 200 --world 1 --num-objects 3 --look-alikes --actor arm

easy() {
    ablate --clips "$data/train" --validation "$data/validation" --out runs/results/runs "$@"
}
# The main rows with three seeds first: what is stopped early should have the most to say.
easy --scenes four_look_alikes="$data/held_out" --steps $steps \
    --rows $untrained tavid base_data --seeds 0 1 2
easy --scenes four_look_alikes="$data/held_out" --steps $steps --rows all --seeds 0
easy --steps 2000 --rows $untrained tavid base_data --seeds 0 --scenes \
    look_alikes_2="$data/look_alikes_2" look_alikes_3="$data/look_alikes_3" \
    person="$data/person" unseen_kinds="$data/unseen_kinds" arm="$data/arm"

# The harder world, with masks as people give them: small and hidden targets, clutter, vague
# captions. How many look-alikes is fixed on validation scenes, before a held-out one is drawn.
draw harder_train train 5000 --world mixed
validation="" candidates=""
for number in 3 4 5 6; do
    draw "harder_validation_$number" validation 60 --world 1 --num-objects "$number" --look-alikes
    validation="$validation harder_validation_$number=$data/harder_validation_$number"
    candidates="$candidates $number=harder_validation_${number}_sloppy"
done
ablate --clips "$data/harder_train" --out runs/results/runs_difficulty --rows lambda_0 --seeds 0 \
    --steps 400 --num-scenes 60 --set sloppy_masks=true --sloppy-masks --scenes $validation
number="$("$python" -m training.difficulty --log "$log" --row lambda_0 --scenes $candidates)"
draw "harder_$number" held_out 200 --world 1 --num-objects "$number" --look-alikes

# One sloppy mask serves both, the mask channel and the loss.
harder() {
    ablate --clips "$data/harder_train" --validation "$data/harder_validation_$number" \
        --out runs/results/runs_harder --set sloppy_masks=true --set sloppy_loss_masks=true --sloppy-masks \
        --scenes "harder_$number=$data/harder_$number" --steps $steps "$@"
}
harder --rows $untrained tavid base_data --seeds 0 1 2
harder --rows all --seeds 0

"$python" -m training.results --take "$log"
