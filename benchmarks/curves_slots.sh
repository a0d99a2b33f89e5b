#!/usr/bin/env bash
# Learning curves of games under several settings on a machine with many cores: as many fleets at
# once as there are pairs of cores, each on two and without a GPU.
# Usage: benchmarks/curves_slots.sh OUTPUT_FOLDER CORES MINUTES "GAME …" "SEED …" "SETTINGS" …
# where SETTINGS are NAME=VALUE pairs, as "learning.epochs=2 learning.grayscale=true"; "" for none.
# Afterwards: python -m benchmarks.curves OUTPUT.svg TARGET OUTPUT_FOLDER/*.json
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1 cores=$2 minutes=$3 games=$4 seeds=$5
shift 5
mkdir -p "$out"
export CUDA_VISIBLE_DEVICES="" PYTHONUNBUFFERED=1

jobs() {
  local game seed settings
  for game in $games; do
    for seed in $seeds; do
      for settings in "$@"; do
        echo "$game $seed $settings"
      done
    done
  done
}

work() { # work SLOT: take jobs off the queue until it is empty.
  local first=$((2 * $1)) game seed settings name pair given
  while flock 4 && read -r game seed settings <&3 && flock -u 4; do
    name=${game##*[:/]}-${settings:-as-it-comes}-$seed
    given=()
    for pair in $settings; do given+=(--set "$pair"); done
    taskset -c "$first,$((first + 1))" python3 -m benchmarks.learning --game "$game" \
      --minutes "$minutes" --seed "$seed" "${given[@]}" --json "$out/${name// /-}.json" \
      >"$out/${name// /-}.txt" 2>&1 3<&- 4>&- || echo "failed: $name"
  done
}

exec 3< <(jobs "$@") 4>"$out/queue.lock"
for ((slot = 0; slot < cores / 2; slot++)); do
  work "$slot" 4>"$out/queue.lock" &
done
wait
