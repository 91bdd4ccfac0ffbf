#!/bin/sh
### BEGIN INIT INFO
# Provides:          myapp
# Required-Start:    $remote_fs $syslog
# Required-Stop:     $remote_fs $syslog
# Default-Start:
# Default-Stop:
# Short-Description: an example of an init script
### END INIT INFO
#
# An init script by the Linux Standard Base. `Default-Start` is empty: init does not start it, the pair does.
#
# To use it: copy it to /etc/init.d/myapp on both hosts, and put
#     Lsb(name: "myapp", script: "/etc/init.d/myapp")
# into `resources` of failover.ron, and a check
#     Resource(name: "myapp", resource: "myapp", every: "10s")
#
# Exits: 0 done; 1 failed; 2 called wrongly. Of status: 0 runs; 1 dead, and the pid file is there; 3 does not run.
# Each action may be called twice in a row, and must then succeed twice.

pid_file=${PID_FILE:-/run/myapp.pid}

# A dead process that nobody has collected yet does not count.
runs() {
    pid=$(cat "$pid_file" 2>/dev/null) && grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status" 2>/dev/null
}

start() {
    runs && return 0
    # The daemon. A session of its own: it must outlive this script.
    # shellcheck disable=SC2016  # for the inner shell
    setsid -f sh -c 'echo $$ >"$0"; exec sleep 86400' "$pid_file" </dev/null >/dev/null 2>&1
    for _ in $(seq 50); do
        runs && return 0
        sleep 0.1
    done
    return 1
}

stop() {
    if runs; then
        kill "$pid"
        for _ in $(seq 50); do
            runs || break
            sleep 0.1
        done
        runs && return 1
    fi
    rm -f "$pid_file"
}

status() {
    runs && return 0
    [ ! -e "$pid_file" ] || return 1
    return 3
}

case ${1:-} in
start) start ;;
stop) stop ;;
restart | force-reload) stop && start ;;
status) status ;;
*)
    echo "usage: $0 start|stop|restart|force-reload|status" >&2
    exit 2
    ;;
esac
