#!/bin/sh
# ha_ifdadmin [-t SECONDS] [INTERFACE]...: does an interface hear anybody? Without a name: each that is up.
#
# By the rule of FailSafe's interface agent: if an interface received no packet for 10 seconds, its broadcast address is
# asked; if still nothing comes for another 10 seconds, the interface is bad, and with it every address on it. Exit 0: all
# are good; 1: one is bad; 2: called wrongly, or ping is missing. It begins at once and is no daemon: run it as a check.
#
# Many hosts do not answer a broadcast, so the interface's gateways are asked with it.

seconds=10
if [ "${1:-}" = -t ]; then
    seconds=${2:-}
    shift 2
fi
case $seconds in
'' | *[!0-9]*)
    echo "usage: $0 [-t SECONDS] [INTERFACE]..." >&2
    exit 2
    ;;
esac

# Found out at the first run, not on the first quiet evening.
if ! command -v ping >/dev/null; then
    echo "ping is not installed, and without it a quiet interface cannot be told from a bad one"
    exit 2
fi

received() { cat "/sys/class/net/$1/statistics/rx_packets" 2>/dev/null; }

# Whether a packet comes to $1 within the time. $2: how many had come before.
hears() {
    left=$((seconds * 5))
    while [ "$left" -gt 0 ]; do
        [ "$(received "$1")" = "$2" ] || return 0
        sleep 0.2
        left=$((left - 1))
    done
    return 1
}

# Every address that can make somebody speak.
ask() {
    ip -o -4 addr show dev "$1" | sed -n 's/.* brd \([0-9.]*\) .*/\1/p' | sort -u | while read -r broadcast; do
        ping -b -c 3 -w "$seconds" "$broadcast" >/dev/null 2>&1 &
    done
    ip -4 route show dev "$1" | sed -n 's/.*via \([0-9.]*\).*/\1/p' | sort -u | while read -r gateway; do
        ping -c 3 -w "$seconds" "$gateway" >/dev/null 2>&1 &
    done
}

look() {
    before=$(received "$1")
    if [ -z "$before" ]; then
        echo "$1: there is no such interface"
        return 1
    fi
    hears "$1" "$before" && return 0
    ask "$1"
    hears "$1" "$before" && return 0
    echo "$1: bad: no packet in $seconds seconds, and none in another $seconds after its broadcast address was asked"
    return 1
}

if [ $# -eq 0 ]; then
    for path in /sys/class/net/*; do
        name=${path##*/}
        [ "$name" = lo ] || [ "$(cat "$path/operstate")" = down ] || set -- "$@" "$name"
    done
fi
# All at once: five interfaces must not take five times as long.
bad=0
looks=
for name; do
    look "$name" &
    looks="$looks $!"
done
for pid in $looks; do
    wait "$pid" || bad=1
done
exit "$bad"
