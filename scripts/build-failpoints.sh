#!/bin/bash
# Builds the two daemons with kill points into target/failpoints, for the crash tests: scripts/build-failpoints.sh [FLAGS]
# FLAGS go to both builds, for instance `--features etcd`.
# They are built with the same flags as the real ones, so that nothing but the one crate is compiled again, and then moved
# away; the build without kill points that comes after puts the real ones back in their place.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
# There are no examples; asked for them, cargo chooses the dependencies' features as it does for tests. Otherwise tokio and
# all that stands on it would be compiled twice. For the same reason what is left out here is what the tests leave out.
readonly SHARED_WITH_TESTS=(--locked --workspace --exclude failover-simulator --examples)
readonly BINARIES=(failover-master failover-slave)

features=$(printf '%s/failpoints,' "${BINARIES[@]}")
cargo build "${SHARED_WITH_TESTS[@]}" --bin failover-master --bin failover-slave --features "${features%,}" "$@"
mkdir -p "$target/failpoints"
for name in "${BINARIES[@]}"; do
  # A link would be overwritten by the next build.
  cp --remove-destination "$target/debug/$name" "$target/failpoints/$name"
  rm "$target/debug/$name"
done
cargo build "${SHARED_WITH_TESTS[@]}" --bins "$@"
# Daemons look for their guardian beside themselves. It has no kill points.
cp --remove-destination "$target/debug/failover-guardian" "$target/failpoints/failover-guardian"
