#!/bin/sh
# Random faults on a pair of real daemons in namespaces, judged by what a toy store wrote (root).
#   scripts/chaos.sh --iterations N [--seed S]        results in target/chaos/, one line of JSON an iteration
#   scripts/chaos.sh --iterations N --resume FILE     goes on where FILE stopped
#   scripts/chaos.sh … --keeper etcd                  the lease in etcd instead of on shared storage (its build needs protoc)
# Ends with 1 at the first violation, and keeps both hosts' disks and logs beside the results.
set -eu
cd "$(dirname "$0")/.."
# shellcheck disable=SC2046  # one word or none
cargo build --quiet --locked --workspace --bins $(scripts/etcd-feature.sh)
for program in haproxy nft ip nsenter; do
  command -v "$program" >/dev/null || {
    echo "chaos: $program is missing; scripts/test.sh installs the packages, or see its list" >&2
    exit 2
  }
done
exec "${CARGO_TARGET_DIR:-target}/debug/chaos" "$@"
