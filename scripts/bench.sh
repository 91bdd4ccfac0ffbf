#!/bin/sh
# Measures the budgets of docs/benchmarks.md and prints them as a table: scripts/bench.sh [--quick | --long] [ROWS]
#   --quick   fewer values of each; --long   false suspicions are watched for ten minutes instead of 20 s
#   ROWS      measures one subject only: core, steps, moves, haproxy, mail, death, idle, suspicion
# Nothing is asserted, so it is no part of scripts/test.sh. Release build; a quiet machine gives better figures than a busy
# one. The rows that need a lab need root and the packages that scripts/test.sh installs; without them they say "not run".
set -eu
cd "$(dirname "$0")/.."
# Only what is measured and what measures: each program is linked as a whole, which takes its time.
cargo build --release --locked -p failover-shared -p failover-master -p failover-slave -p failoverctl -p failover-tests \
  --bin failover-guardian --bin failover-master --bin failover-slave --bin failoverctl \
  --bin bench --bin lab-host --bin demo-mail --bin demo-balancer
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
