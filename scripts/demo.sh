#!/bin/sh
# The demo: a whole pair on loopback, in two acts. No root, no configuration, nothing left behind.
#   scripts/demo.sh          with a mail server and a balancer of the demo's own
#   scripts/demo.sh --real   with Dovecot and HAProxy from packages, in namespaces (root)
# Exits 0 only if every step was seen.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --workspace --bins
folder=${CARGO_TARGET_DIR:-target}/debug
case "${1:-}" in
  --real)
    for program in dovecot haproxy nft ip nsenter; do
      command -v "$program" >/dev/null || {
        echo "demo: $program is missing; scripts/test.sh installs the packages, or see its list" >&2
        exit 1
      }
    done
    ;;
esac
# The driver gets the signals itself: it ends everything that it has started.
exec "$folder/demo" "$@"
