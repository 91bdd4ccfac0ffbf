# shellcheck shell=sh
# $0: the agent. $1: what is asked.
# A boot empties this folder, and where systemd-tmpfiles does not run nobody else makes it again.
[ -d "$HA_RSCTMP" ] || mkdir -m 1755 "$HA_RSCTMP" 2>/dev/null

start() {
    OCF_RESKEY_CRM_meta_interval=0 "$0" start
    code=$?
    if [ $code -ne 0 ]; then
        # What is wrong with the host or the parameters, where the agent can tell. It changes nothing.
        # In the foreground: else it gets a group of its own, which the end of this step at its limit would miss.
        timeout --foreground -k 1 5 "$0" validate-all
        echo "failover: the start of $0 exited $code, and its validate-all then exits $?" >&2
        return $code
    fi
    # Not as a probe (interval 0), at which an agent may look less closely.
    "$0" monitor
    code=$?
    case $code in
    0 | 8 | 190 | 191) return 0 ;;
    esac
    echo "failover: the start of $0 exited 0, and its monitor then exits $code" >&2
    return 121
}

stop() {
    OCF_RESKEY_CRM_meta_interval=0 "$0" stop
    code=$?
    # 7 is no answer to a stop, and says all the same that nothing runs.
    case $code in
    0 | 7) ;;
    *) return $code ;;
    esac
    OCF_RESKEY_CRM_meta_interval=0 "$0" monitor
    code=$?
    case $code in
    0 | 8 | 9 | 190 | 191)
        echo "failover: the stop of $0 succeeded, and its monitor then exits $code" >&2
        return 122
        ;;
    esac
    return 0
}

case $1 in
start) start ;;
stop) stop ;;
restart) stop && start ;;
probe) OCF_RESKEY_CRM_meta_interval=0 exec "$0" monitor ;;
*) exec "$0" "$1" ;;
esac
