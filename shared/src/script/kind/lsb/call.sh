# shellcheck shell=sh
# $0: the init script. $1: what is asked. Of the script's two answers, its exit and its status, the status decides.

# Asks until the status is the one wanted or a few seconds have gone: daemons write their number, and go, a little later
# than their scripts say.
settled() {
    rounds=0
    while :; do
        "$0" status </dev/null >/dev/null 2>&1
        status=$?
        case $1/$status in
        runs/0 | gone/[123]) return 0 ;;
        esac
        rounds=$((rounds + 1))
        [ $rounds -lt 25 ] || return 1
        sleep 0.2
    done
}

tell() {
    echo "failover: the $1 of $0 exited $code, and its status then exits $status" >&2
}

start() {
    "$0" "$1"
    code=$?
    # What could not be started will not run by waiting.
    if [ "$code" -ne 0 ]; then
        "$0" status </dev/null >/dev/null 2>&1
        status=$?
        tell "$1"
        [ "$status" -eq 0 ] || return "$code"
    elif ! settled runs; then
        tell "$1"
        return 121
    fi
    return 0
}

stop() {
    "$0" stop
    code=$?
    if settled gone; then
        [ "$code" -eq 0 ] || tell stop
        return 0
    fi
    tell stop
    [ "$code" -eq 0 ] || return "$code"
    [ "$status" -eq 0 ] && return 122
    return 123
}

case $1 in
start | restart) start "$1" ;;
stop) stop ;;
*) exec "$0" status ;;
esac
