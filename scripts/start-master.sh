#!/bin/sh
# Starts (or ends) the master's daemon.
#
#   start-master.sh [start|stop]
#
# The slave's socket server should be there first, as the old start.sh reminded its operator. This one looks for itself:
# it waits FAILOVER_WAIT_FOR_SLAVE (default 30s) for it, says so, and then starts anyway: a dead slave must not keep the
# master down.
set -eu

# shellcheck source=scripts/daemon.sh
. "$(dirname -- "$0")/daemon.sh"

case ${1:-start} in
start)
    if is_running master; then
        say "the master's daemon runs already: nothing to do; look: failoverctl status"
        exit 0
    fi
    wait_for_slave=${FAILOVER_WAIT_FOR_SLAVE:-30s}
    say "waiting up to $wait_for_slave for the slave's socket server"
    if ! failoverctl reach slave --wait "$wait_for_slave"; then
        say "the master starts anyway; as long as the slave is away, nobody can take over"
    fi
    start_daemon master
    ;;
stop) stop_daemon master ;;
*) usage ;;
esac
