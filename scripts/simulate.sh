#!/bin/bash
# Simulated schedules of a pair, judged from outside: scripts/simulate.sh [--schedules N] [--seed S] [--exhaustive]
#   --schedules N   random schedules (100000)
#   --seed S        the seed of the first; each has the next (1)
#   --exhaustive    also every single fault at every position of the base stories, and ordered pairs of the grave ones
#   --replay SEED   runs one schedule and shows it: its options and its last lines
#   --case NUMBER   the same for a case of --exhaustive
# Ends with 1 when a law was broken, when something that must come up did not, or when the canary was not found.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --locked --quiet --profile simulation -p failover-simulator --bin simulate
exec "${CARGO_TARGET_DIR:-target}/simulation/simulate" "$@"
