#!/bin/bash
# Tries every order of events of a pair within bounds, on the very core that ships: scripts/model.sh [OPTIONS]
#   --arbiter storage|compare   how the arbiter is kept (storage)
#   --steps N                   steps of time in a run (14)
#   --faults N                  faults in a run (2)
#   --may A,B                   only these kinds of fault (all)
#   --fresh                     begin with two hosts that have just booted
#   --states N, --seconds N     end when so many were generated, after so much time (600)
#   --beyond-rho                break the assumption on clocks: two writers must be found
# Ends with 1 when a law was broken, with the way there.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --locked --quiet --profile simulation -p failover-simulator --bin model
exec "${CARGO_TARGET_DIR:-target}/simulation/model" "$@"
