#!/usr/bin/env bash
# What docs/performance.md shows of a machine with a GPU and sixteen cores: the speed of a fleet
# with one live worker and with none, the learner's updates, the inference server's passes, and the
# learning curves of two games. Takes six minutes.
# Usage: benchmarks/gpu_machine.sh OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
mkdir -p "$out"

measure() { # measure NAME MODULE ARGUMENT …
  local name=$1
  shift
  python3 -m "$@" >"$out/$name.txt" 2>&1 || true
}

measure own benchmarks.full_speed --set worker.inference=own
measure live benchmarks.full_speed
measure unseen benchmarks.full_speed --live 0
measure updates benchmarks.learner_update
measure passes benchmarks.inference_pass
for game in defend_the_center health_gathering; do
  measure "$game" benchmarks.learning --game "doom:$game" --workers 8 --minutes 1
done
grep -H "" "$out"/*.txt
