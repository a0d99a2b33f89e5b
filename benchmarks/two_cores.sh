#!/usr/bin/env bash
# All benchmarks for two cores, in parallel on a machine with sixteen: each pinned to its own two
# cores, with GPUs hidden from PyTorch. Usage: benchmarks/two_cores.sh OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
mkdir -p "$out"
export CUDA_VISIBLE_DEVICES=""

on() { # on FIRST_CORE NAME COMMAND...: runs in the background, its output in NAME.txt
  local first=$1 name=$2
  shift 2
  taskset -c "$first,$((first + 1))" "$@" >"$out/$name.txt" 2>&1
}
learn() { # learn FIRST_CORE SCENARIO MINUTES SEED
  on "$1" "$2-$4" python3 -m benchmarks.learning --game "doom:$2" --minutes "$3" --seed "$4" \
    --json "$out/$2-$4.json" || true
}

(on 0 live python3 -m benchmarks.live --seconds 60 --json "$out/live.json" || true
 learn 0 basic 3 0
 on 0 breakdown python3 -m benchmarks.breakdown || true) &
(learn 2 basic 3 1; learn 2 basic 3 2) &
for seed in 0 1 2; do
  learn $((4 + 2 * seed)) health_gathering 6 "$seed" &
  learn $((10 + 2 * seed)) defend_the_center 8 "$seed" &
done
wait
grep -H "" "$out"/*.txt
