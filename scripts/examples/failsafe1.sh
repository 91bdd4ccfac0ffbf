#!/bin/sh
# shellcheck disable=SC1091,SC2086,SC2181,SC2317  # the contract's own style: its variables, its functions called by name
# A failover script by the contract of FailSafe 1: SCRIPT CHECKSUM OPERATION.
#
# To use it: copy it to /var/ha/resources/NAME, write the two functions start_one and stop_one, and put
#     FailSafe1(script: "/var/ha/resources/NAME")
# into `resources` of failover.ron. NAME is the application class; `instances` of that entry are its instances.
#
# Exits: 0 done; 1 called wrongly; 2 the configuration is wrong or was changed; 3 a command failed.
# Each operation may be called twice in a row, and must then succeed twice.

SUCCESS=0
ILLEGAL_CALL=1
INCORRECT_CONF_FILE=2
FAILED=3

CLASS=$(basename "$0")
. /var/ha/actions/common.vars

# Starts the instance $1, unless it runs already.
start_one() {
    run "starting $1" touch "/run/$CLASS.$1"
}

# Stops the instance $1, if it runs.
stop_one() {
    [ -e "/run/$CLASS.$1" ] || return 0
    run "stopping $1" rm "/run/$CLASS.$1"
}

# Runs a command; what it is for, the command, its output and its end go to the log of the class.
run() {
    echo "$1" >>"$LOGFILE"
    [ "$TESTING" = ok ] && $LOGGER "$1"
    shift
    "$@" >>"$LOGFILE" 2>&1
    code=$?
    if [ $code -ne 0 ]; then
        echo "ERROR: $*, exit code $code" >>"$LOGFILE"
        $LOGGER "ERROR: $*"
        exit $FAILED
    fi
    echo "$*: completed with exit code 0" >>"$LOGFILE"
}

# Calls $2 for each instance whose node of the kind $1 is this host.
for_each_of() {
    for instance in $($CFG_INFO "$CLASS"); do
        node=$($CFG_INFO "$CLASS$CFG_SEP$instance$CFG_SEP$1")
        if [ $? -ne 0 ]; then
            $LOGGER "$0: $CLASS$CFG_SEP$instance$CFG_SEP$1 is not configured"
            exit $INCORRECT_CONF_FILE
        fi
        [ "X$node" = "X$(hostname)" ] && "$2" "$instance"
    done
    return 0
}

if [ $# -ne 2 ]; then
    $LOGGER "usage: $0 CHECKSUM OPERATION"
    exit $ILLEGAL_CALL
fi
case $2 in
takeback | takeover | giveaway | giveback) ;;
*)
    $LOGGER "$0: $2 is none of takeback, takeover, giveaway, giveback"
    exit $ILLEGAL_CALL
    ;;
esac
SUM=$($CFG_SUM)
if [ "$1" != "$SUM" ]; then
    $LOGGER "$0: the configuration was changed: called with checksum $1, the file has $SUM"
    exit $INCORRECT_CONF_FILE
fi
LOGFILE=/var/ha/logs/$CLASS.log
echo "Started logging at $(date)" >"$LOGFILE"
[ "$TESTING" = ok ] && $LOGGER "executing $0 $2"

case $2 in
takeback) for_each_of "$T_SERVER" start_one ;;
takeover) for_each_of "$T_BACKUP" start_one ;;
giveaway) for_each_of "$T_SERVER" stop_one ;;
giveback) for_each_of "$T_BACKUP" stop_one ;;
esac
exit $SUCCESS
