#!/bin/sh
# A script for plain commands and for lines of CPMS: NAME start | stop | status.
#
# To use it: copy it to both hosts, write the three functions, and put one of these into `resources` of failover.ron:
#     Plain(name: "NAME", start: ["/path/NAME", "start"], stop: ["/path/NAME", "stop"], status: ["/path/NAME", "status"])
#     Step(name: "NAME", start: "/path/NAME start >>/var/log/NAME.log 2>&1", stop: "/path/NAME stop >>/var/log/NAME.log 2>&1")
#
# It gets FAILOVER_EPOCH, FAILOVER_ROLE, FAILOVER_OPERATION, FAILOVER_HOST, FAILOVER_PEER and FAILOVER_REASON. Exits: 0 done,
# or runs; anything else failed, or does not run. Each call may come twice in a row, and must then succeed twice: a daemon
# that dies in the middle begins the step again.

# What runs here is, in this example, a file.
MARK=$0.running

start_it() {
    # Unless it runs already. A program that stays in the background is begun as: setsid -f /usr/sbin/mydaemon
    [ -e "$MARK" ] || touch "$MARK"
}

stop_it() {
    # Ends only when nothing of it runs any more; what does not run is stopped.
    rm -f "$MARK"
}

status_of_it() {
    [ -e "$MARK" ]
}

case ${1-} in
start) start_it ;;
stop) stop_it ;;
status) status_of_it ;;
*)
    echo "usage: $0 start|stop|status" >&2
    exit 64
    ;;
esac
