#!/bin/sh
# A stand-in for systemctl(1), for hosts without systemd. In $STAND_IN_UNITS (/run/stand-in), and for --user in its folder
# user-UID:
#   UNIT.state   its ActiveState             UNIT.start, UNIT.stop   what is run for it, if they are there
#   UNIT.load    its LoadState               UNIT.unread             how many questions it fails to answer
#   UNIT.group   its control group           UNIT.stays              the state that it keeps, whatever is done
#   UNIT.exit    how start, stop and restart end, with nothing done    calls   each of those calls, one a line
units=${STAND_IN_UNITS:-/run/stand-in}

set_state() {
    if [ -e "$units/$unit.stays" ]; then
        cat "$units/$unit.stays" >"$units/$unit.state"
    else
        echo "$1" >"$units/$unit.state"
    fi
}

act() {
    [ ! -x "$units/$unit.$1" ] || "$units/$unit.$1"
}

if [ "$1" = --user ]; then
    units=$units/user-$(id -u)
    shift
    if [ ! -d "${XDG_RUNTIME_DIR:-}" ]; then
        echo "Failed to connect to bus: No medium found" >&2
        exit 1
    fi
fi
action=$1
for unit in "$@"; do :; done
case $action in
show)
    unread=$(cat "$units/$unit.unread" 2>/dev/null || echo 0)
    if [ "$unread" -gt 0 ]; then
        echo $((unread - 1)) >"$units/$unit.unread"
        echo "Failed to get properties: Connection timed out" >&2
        exit 1
    fi
    for pair in ControlGroup:group ActiveState:state LoadState:load Result:result; do
        case ",$3," in
        *",${pair%:*},"*) echo "${pair%:*}=$(cat "$units/$unit.${pair#*:}" 2>/dev/null)" ;;
        esac
    done
    exit
    ;;
reset-failed) exit ;;
start | stop | restart) echo "$*" >>"$units/calls" ;;
*)
    echo "the stand-in for systemctl knows no $action" >&2
    exit 1
    ;;
esac
[ ! -e "$units/$unit.exit" ] || exit "$(cat "$units/$unit.exit")"
case $action in
start) act start && set_state active ;;
stop) act stop && set_state inactive ;;
restart) act stop && act start && set_state active ;;
esac
