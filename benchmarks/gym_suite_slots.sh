#!/usr/bin/env bash
# benchmarks/gym_suite.py on a machine with many cores, in a sixth of the time: as many trainings at
# once as there are pairs of cores, each on two and without a GPU, the longest first.
# Usage: benchmarks/gym_suite_slots.sh OUTPUT_FOLDER [CORES]
# Afterwards: python -m benchmarks.gym_suite --read OUTPUT_FOLDER/*.json [--plot FILE.svg]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
cores=${2:-16}
mkdir -p "$out"
export CUDA_VISIBLE_DEVICES="" MUJOCO_GL=egl PYTHONUNBUFFERED=1

jobs_by_length() {
  local seed trainer environment
  for environment in ALE/Pong-v5 HalfCheetah-v5 LunarLander-v3 MiniGrid-DoorKey-5x5-v0 \
    Pendulum-v1 MiniGrid-Empty-5x5-v0 Acrobot-v1 CartPole-v1; do
    for seed in 0 1 2; do
      for trainer in ours theirs; do
        echo "$environment $seed $trainer"
      done
    done
  done
}

work() { # work SLOT: take jobs off the queue until it is empty.
  local first=$((2 * $1)) environment seed trainer name
  while flock 4 && read -r environment seed trainer <&3 && flock -u 4; do
    name=${environment//\//-}-$seed-$trainer
    python3 -m benchmarks.gym_suite --only "$environment" --seeds "$seed" --trainers "$trainer" \
      --cores "$first" $((first + 1)) --cache "$out/cache" --until-reached \
      --json "$out/$name.json" >"$out/$name.txt" 2>&1 3<&- 4>&- || echo "failed: $name"
  done
}

exec 3< <(jobs_by_length) 4>"$out/queue.lock"
for ((slot = 0; slot < cores / 2; slot++)); do
  work "$slot" 4>"$out/queue.lock" &
done
wait
