#!/bin/sh
# Draw the clips of docs/results.md, then train and measure its rows; run again, it goes on.
set -eu
cd "$(dirname "$0")/.."
python="${VENV:-.venv}/bin/python"
data=runs/results/data
export MUJOCO_GL="${MUJOCO_GL:-osmesa}" PYOPENGL_PLATFORM="${PYOPENGL_PLATFORM:-osmesa}"

draw() {
    folder="$data/$1" split="$2" num_clips="$3"
    shift 3
    "$python" -m training.sources.sim --out "$folder" --num-clips "$num_clips" --split "$split" "$@"
}

draw train train 5000
draw validation validation 60 --num-objects 4 --look-alikes
draw held_out held_out 200 --num-objects 4 --look-alikes
for number in 2 3; do
    draw "look_alikes_$number" held_out 200 --num-objects "$number" --look-alikes
done
# What no clip of the training shows.
draw unseen_kinds held_out 200 --world 1 --num-objects 3 --look-alikes --actor person --unseen-kinds
draw arm held_out 200 --world 1 --num-objects 3 --look-alikes --actor arm

# DEVICE=cuda:1 and the like; without it the GPU if there is one, else the CPU.
ablate() {
    "$python" -m training.ablate --clips "$data/train" --validation "$data/validation" \
        --out runs/results/runs --device "${DEVICE:-auto}" "$@"
}

curve="--steps 25 50 100 200 400 800 2000 --scenes four_look_alikes=$data/held_out"
# The main rows with three seeds first: what is stopped early should have the most to say.
ablate $curve --rows base attention_modulation tavid base_data --seeds 0 1 2
ablate $curve --rows all --seeds 0
ablate --steps 2000 --rows base attention_modulation tavid base_data --seeds 0 --scenes \
    look_alikes_2="$data/look_alikes_2" look_alikes_3="$data/look_alikes_3" \
    unseen_kinds="$data/unseen_kinds" arm="$data/arm"
