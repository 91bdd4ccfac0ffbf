# shellcheck shell=sh
# $0: the unit. $1: start, stop, restart or status. $2: --user, if it is one of this user's own systemd.
unit=$0
of_user=${2:-}
if [ -n "$of_user" ]; then
    # Where a login would have set it to, and where systemctl looks for the user's systemd.
    export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
    if [ ! -d "$XDG_RUNTIME_DIR" ]; then
        echo "failover: the systemd of $(id -un) does not run: no $XDG_RUNTIME_DIR (loginctl enable-linger $(id -un))" >&2
        exit 4
    fi
fi

systemctl() {
    command systemctl ${of_user:+--user} "$@"
}

# Reads what systemd says of the unit: all of it at once, because each call can fail, and an empty answer looks like a unit
# of which nothing is left.
look() {
    group=
    state=
    load=
    result=
    told=$(LC_ALL=C systemctl show --property ControlGroup,ActiveState,LoadState,Result -- "$unit") || return
    while IFS='=' read -r name value; do
        case $name in
        ControlGroup) group=$value ;;
        ActiveState) state=$value ;;
        LoadState) load=$value ;;
        Result) result=$value ;;
        esac
    done <<END
$told
END
}

# Whether a process is left in the unit's control group, where that can be seen.
populated() {
    [ -n "$1" ] && [ "$1" != / ] || return 1
    for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [ -e "$root$1/cgroup.events" ] && grep -q '^populated 1$' "$root$1/cgroup.events" && return 0
    done
    # Version 1 lists each group for itself.
    [ -n "$(find "/sys/fs/cgroup/systemd$1" -name cgroup.procs -exec cat {} + 2>/dev/null)" ]
}

# 0 runs, 1 failed, 3 does not run, 4 nobody knows, 5 is on its way, 6 processes are left, 7 there is no such unit
status() {
    if ! look; then
        echo "failover: systemd cannot be asked about $unit" >&2
        return 4
    fi
    case $state in
    active | reloading | refreshing) return 0 ;;
    inactive | failed)
        if populated "$group"; then
            echo "failover: $unit is $state, and processes are left in its control group $group" >&2
            return 6
        fi
        # What it does not know is inactive to it, too.
        if [ "$state" = inactive ] && [ "$load" = not-found ]; then
            echo "failover: systemd knows no unit $unit" >&2
            return 7
        fi
        [ "$state" = inactive ] && return 3
        echo "failover: $unit failed: $result" >&2
        return 1
        ;;
    activating | deactivating | maintenance) return 5 ;;
    esac
    echo "failover: systemd does not know the state of $unit: \"$state\"" >&2
    return 4
}

start() {
    # A unit that failed too often is not started again before its counter is reset. It may not have failed at all.
    systemctl reset-failed -- "$unit" 2>/dev/null
    systemctl "$1" -- "$unit" || return
    status
    code=$?
    [ $code -eq 0 ] && return 0
    echo "failover: systemctl $1 succeeded, and $unit is $state (a Type=oneshot unit needs RemainAfterExit=yes)" >&2
    return 121
}

stop() {
    # Asked before: an inactive unit may no longer name its group.
    look
    looked=$?
    before=$group
    systemctl stop -- "$unit" || return
    status
    code=$?
    if populated "$before"; then
        echo "failover: processes are left in the control group $before of $unit" >&2
        code=6
    elif [ "$looked" -ne 0 ] && { [ "$code" -eq 1 ] || [ "$code" -eq 3 ] || [ "$code" -eq 7 ]; }; then
        echo "failover: systemd could not be asked for the control group of $unit before the stop" >&2
        code=4
    fi
    case $code in
    # Failed, and nothing is left of it: it did not end as it should have, but it has. A transient unit is gone.
    1 | 3 | 7) return 0 ;;
    4) return 123 ;;
    esac
    return 122
}

case $1 in
start | restart) start "$1" ;;
stop) stop ;;
*) status ;;
esac
