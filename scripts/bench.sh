#!/bin/sh
# Measures the budgets of docs/architecture.md in one run and prints them as a table: scripts/bench.sh [--quick]
# Nothing is asserted. Release build; a quiet machine gives better figures than a busy one.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --locked --workspace --bins
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
