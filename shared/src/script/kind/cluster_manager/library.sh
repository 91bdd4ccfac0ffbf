# shellcheck shell=bash
# shellcheck disable=SC2034 # The scripts use the names, not this file.
# What user scripts of SGI Cluster Manager find when they are called. Part of every call; to try a script by hand, source
# this file first.

SUCCESS=0
FAIL=1

# The levels of syslog(3).
LOG_EMERG=0
LOG_ALERT=1
LOG_CRIT=2
LOG_ERR=3
LOG_WARNING=4
LOG_NOTICE=5
LOG_INFO=6
LOG_DEBUG=7

# Where the services are configured.
DB=${FAILOVER_CONFIG:-/etc/failover/failover.ron}

# logAndPrint LEVEL MESSAGE...: to the script's output, and to syslog where there is one.
logAndPrint()
{
    typeset level=$1
    shift
    echo "$*"
    case $level in
    [0-7]) ;;
    *) level=$LOG_NOTICE ;;
    esac
    typeset names=(emerg alert crit err warning notice info debug)
    logger -t clusvcmgrd -p "daemon.${names[$level]}" -- "$*" >/dev/null 2>&1 </dev/null
    return $SUCCESS
}

# getSvcName DB ID: the name of the service with this number.
getSvcName()
{
    if [ "$2" != "$FAILOVER_SERVICE_ID" ]; then
        logAndPrint $LOG_ERR "no service has the number $2" >&2
        return $FAIL
    fi
    echo "$FAILOVER_RESOURCE"
}
