#!/bin/sh
# Starts (or ends) this host's daemon of the pair, for hosts without systemd. Which one, the configuration says by host name.
#
#   start.sh [start]    start it; already running is fine
#   start.sh stop       end it; the service is not touched
#
# Settings come from the environment, see daemon.sh.
set -eu

scripts=$(dirname -- "$0")
# shellcheck source=scripts/daemon.sh
. "$scripts/daemon.sh"

if ! role=$(failoverctl role ${FAILOVER_HOST:+--host "$FAILOVER_HOST"}); then
    [ "${role:-}" = none ] || exit 1
    say "this host is neither the master nor the slave of $FAILOVER_CONFIG: nothing is started"
    say "next: compare its name ($(uname -n)) with the names in that file, or set FAILOVER_HOST"
    exit 1
fi
exec "$scripts/start-$role.sh" "$@"
