#!/usr/bin/env bash
# benchmarks/gym_suite.py on a machine with sixteen cores, in under ten minutes: eight trainings at a
# time, on two cores each and without a GPU. The long ones have one seed, and end at the threshold.
# Usage: benchmarks/gym_suite_slots.sh OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
mkdir -p "$out"
export CUDA_VISIBLE_DEVICES="" MUJOCO_GL=egl PYTHONUNBUFFERED=1

slot() { # slot NUMBER ARGUMENTS...
  local number=$1
  shift
  python3 -m benchmarks.gym_suite --cores $((2 * number)) $((2 * number + 1)) --cache "$out/cache" \
    --json "$out/$number.json" "$@" >"$out/$number.txt" 2>&1 || true
}

slot 0 --only CartPole-v1 MiniGrid-Empty-5x5-v0 --until-reached &
slot 1 --only Acrobot-v1 --until-reached &
slot 2 --only LunarLander-v3 --seeds 0 --until-reached &
slot 3 --only Pendulum-v1 --seeds 0 --until-reached &
slot 4 --only MiniGrid-DoorKey-5x5-v0 HalfCheetah-v5 --seeds 0 --trainers theirs --until-reached &
slot 5 --only MiniGrid-DoorKey-5x5-v0 --seeds 0 1 --trainers ours --until-reached &
slot 6 --only HalfCheetah-v5 --seeds 0 --trainers ours &
slot 7 --only ALE/Pong-v5 --seeds 0 --trainers ours &
wait
grep -H "" "$out"/*.txt
