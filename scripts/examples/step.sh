#!/bin/sh
# A script for a line of CPMS, or for a plain command: exit 0 is good, everything else is not.
#
# To use it: copy it to /etc/failover/step.sh on both hosts. As lines of CPMS, redirections and all:
#     startup_scripts: ["./step.sh start >/var/log/step.log 2>&1"],
#     shutdown_scripts: ["./step.sh stop >/var/log/step.log 2>&1"],
# As a resource that can be asked whether it runs, by the shell or without one:
#     Step(name: "store", start: "./step.sh start", stop: "./step.sh stop", status: "./step.sh status")
#     Plain(name: "store", start: ["./step.sh", "start"], stop: ["./step.sh", "stop"], status: ["./step.sh", "status"])
#
# Each action may be called twice in a row, and must then succeed twice.

file=${STEP_FILE:-/run/step.running}

case ${1:-} in
start) echo "epoch ${FAILOVER_EPOCH:-none}, ${FAILOVER_OPERATION:-by hand}" >"$file" ;;
stop) rm -f "$file" ;;
status) [ -e "$file" ] ;;
*)
    echo "usage: $0 start|stop|status" >&2
    exit 2
    ;;
esac
