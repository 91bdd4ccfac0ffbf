# What start.sh, start-master.sh and start-slave.sh share. Read by them, not run.
# shellcheck shell=sh
#
# Settings, all from the environment:
#   FAILOVER_CONFIG      the configuration              /etc/failover/failover.ron
#   FAILOVER_STATE_DIR   durable state and journal      /var/lib/failover
#   FAILOVER_RUN_DIR     sockets and pid files          /run/failover
#   FAILOVER_LOG_DIR     logs                           /var/log/failover
#   FAILOVER_HOST        this host's name in the configuration, if not the system's
#   FAILOVER_BIN         folder of the programs, if they are not in PATH

FAILOVER_CONFIG=${FAILOVER_CONFIG:-/etc/failover/failover.ron}
FAILOVER_STATE_DIR=${FAILOVER_STATE_DIR:-/var/lib/failover}
FAILOVER_RUN_DIR=${FAILOVER_RUN_DIR:-/run/failover}
FAILOVER_LOG_DIR=${FAILOVER_LOG_DIR:-/var/log/failover}
FAILOVER_HOST=${FAILOVER_HOST:-}
[ -z "${FAILOVER_BIN:-}" ] || PATH=$FAILOVER_BIN:$PATH
export FAILOVER_CONFIG FAILOVER_RUN_DIR PATH

# How long a daemon may take to answer after its start, and to end when it is told to, in seconds. The guardian kills a
# daemon that does not end after 30.
start_limit=15
stop_limit=40

say() {
    printf '%s\n' "$*"
}

for program in failoverctl failover-master failover-slave; do
    if ! command -v "$program" >/dev/null; then
        say "$program is not in PATH; next: set FAILOVER_BIN to the folder that holds the three programs" >&2
        exit 1
    fi
done

usage() {
    say "usage: $(basename -- "$0") [start|stop]" >&2
    exit 64
}

# Whether the daemon answers. The exit of status does not tell: 3 is also a daemon that never heard its peer.
answers() {
    failoverctl --role "$1" status --json 2>/dev/null | grep -q '"here"'
}

# The guardian's number, written by start_daemon. The daemon itself keeps another file, ROLE.pid, which it holds locked.
pid_file() {
    printf '%s/%s.guardian.pid\n' "$FAILOVER_RUN_DIR" "$1"
}

# Prints the guardian's number if it lives. A number alone may belong to another process by now, so its name is looked at.
guardian_of() {
    file=$(pid_file "$1")
    [ -r "$file" ] || return 1
    read -r pid <"$file" || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "failover-$1" ] || return 1
    printf '%s\n' "$pid"
}

is_running() {
    guardian_of "$1" >/dev/null || answers "$1"
}

start_daemon() {
    role=$1
    mkdir -p "$FAILOVER_STATE_DIR" "$FAILOVER_RUN_DIR" "$FAILOVER_LOG_DIR"
    log=$FAILOVER_LOG_DIR/failover-$role.log
    # A session of its own: a terminal that is closed sends SIGHUP, which the daemon takes for "read the configuration".
    keep='nohup'
    ! command -v setsid >/dev/null || keep='setsid'
    umask 077
    $keep "failover-$role" --config "$FAILOVER_CONFIG" --state-dir "$FAILOVER_STATE_DIR" \
        --run-dir "$FAILOVER_RUN_DIR" --log-dir "$FAILOVER_LOG_DIR" ${FAILOVER_HOST:+--host "$FAILOVER_HOST"} \
        </dev/null >>"$log" 2>&1 &
    pid=$!
    printf '%s\n' "$pid" >"$(pid_file "$role")"
    seconds=0
    while [ "$seconds" -lt "$start_limit" ]; do
        if answers "$role"; then
            say "the $role's daemon runs (pid $pid); its log: $log; look: failoverctl status"
            return 0
        fi
        if ! kill -0 "$pid" 2>/dev/null; then
            say "the $role's daemon ended at once; the end of its log, $log:"
            tail -n 10 -- "$log"
            say "next: mend the cause (failoverctl check), then start it again"
            return 1
        fi
        sleep 1
        seconds=$((seconds + 1))
    done
    say "the $role's daemon (pid $pid) does not answer after ${start_limit} s; next: look into its log, $log"
    return 1
}

stop_daemon() {
    role=$1
    if ! pid=$(guardian_of "$role"); then
        if answers "$role"; then
            say "the $role's daemon runs, but this script did not start it; next: systemctl stop failover-$role"
            return 1
        fi
        say "the $role's daemon does not run: nothing to do"
        return 0
    fi
    kill -TERM "$pid"
    seconds=0
    while guardian_of "$role" >/dev/null; do
        if [ "$seconds" -ge "$stop_limit" ]; then
            say "the $role's daemon (pid $pid) has not ended after ${stop_limit} s; next: look into its log"
            return 1
        fi
        sleep 1
        seconds=$((seconds + 1))
    done
    rm -f "$(pid_file "$role")"
    say "the $role's daemon has ended; the service was not touched, and nothing watches it here until the next start"
}
