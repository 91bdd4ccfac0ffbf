#!/bin/sh
# Starts (or ends) the slave's daemon. It waits for nobody: the master waits for it.
#
#   start-slave.sh [start|stop]
set -eu

# shellcheck source=scripts/daemon.sh
. "$(dirname -- "$0")/daemon.sh"

case ${1:-start} in
start)
    if is_running slave; then
        say "the slave's daemon runs already: nothing to do; look: failoverctl status"
        exit 0
    fi
    start_daemon slave
    ;;
stop) stop_daemon slave ;;
*) usage ;;
esac
