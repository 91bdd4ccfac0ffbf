#!/bin/sh
# ha_macconfig2 INTERFACE [ADDRESS]: prints the hardware address of an interface, or gives it another one.

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 INTERFACE [ADDRESS]" >&2
    exit 2
fi
[ $# -eq 2 ] || exec cat "/sys/class/net/$1/address"
ip link set dev "$1" address "$2" 2>/dev/null && exit 0
# Some drivers change it only while the interface is down. Its routes go with it, so this is the second try.
routes=$(ip route show dev "$1")
ip link set dev "$1" down && ip link set dev "$1" address "$2"
changed=$?
ip link set dev "$1" up
echo "$routes" | while read -r route; do
    # shellcheck disable=SC2086  # a route is words
    [ -z "$route" ] || ip route replace $route dev "$1"
done
exit $changed
