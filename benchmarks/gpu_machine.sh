#!/usr/bin/env bash
# Learning on a machine with a GPU and sixteen cores: speed with 8 and with 16 workers, CPU time by
# part, and learning curves of two games on eight cores each.
# Usage: benchmarks/gpu_machine.sh OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
mkdir -p "$out"

learn() { # learn NAME CORES SCENARIO WORKERS MINUTES
  taskset -c "$2" python3 -m benchmarks.learning --game "doom:$3" --workers "$4" --minutes "$5" \
    --json "$out/$1.json" >"$out/$1.txt" 2>&1 || true
}

learn workers-8 0-15 health_gathering 8 1
learn workers-16 0-15 health_gathering 16 1
python3 -m benchmarks.breakdown --game doom:health_gathering --games 8 --seconds 15 \
  >"$out/breakdown.txt" 2>&1 || true
learn health_gathering 0-7 health_gathering 8 5 &
learn defend_the_center 8-15 defend_the_center 8 5 &
wait
grep -H "" "$out"/*.txt
