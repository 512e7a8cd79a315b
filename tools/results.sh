#!/bin/sh
# Draw the clips of docs/results.md, then train and measure its rows; run again, it goes on.
set -eu
cd "$(dirname "$0")/.."
python="${VENV:-.venv}/bin/python"
data=runs/results/data
look_alikes="--num-objects 4 --look-alikes"
export MUJOCO_GL="${MUJOCO_GL:-osmesa}" PYOPENGL_PLATFORM="${PYOPENGL_PLATFORM:-osmesa}"

draw() {
    "$python" -m training.sources.sim --out "$data/$1" --num-clips "$2" --split "$1" $3
}

draw train 5000 ""
draw validation 60 "$look_alikes"
draw held_out 200 "$look_alikes"

ablate() {
    "$python" -m training.ablate --clips "$data/train" --validation "$data/validation" \
        --scenes "four_look_alikes=$data/held_out" --out runs/results/runs \
        --steps 25 50 100 200 400 800 2000 "$@"
}

# The main rows with three seeds first: what is stopped early should have the most to say.
ablate --rows base attention_modulation tavid base_data --seeds 0 1 2
ablate --rows all --seeds 0
