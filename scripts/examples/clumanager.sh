# shellcheck shell=bash
# A user script of SGI Cluster Manager: a bash function named like the application, which takes start, stop or status and
# the number of the service. It is read by bash, not executed.
#
# To use it: copy it to /usr/lib/clumanager/services/myapp_service on both hosts, name the function after the application
# (the file's name, or a part of it between underlines), and put
#     ClusterManager(name: "userapp", script: "/usr/lib/clumanager/services/myapp_service", timeout: "60s")
# into `resources` of failover.ron, and a check
#     Resource(name: "userapp", resource: "userapp", every: "40s")
# Several applications: a folder with a script, or a link to one, for each.
#
# Each action may be called twice in a row, and must then succeed twice.

MYAPP_FILE=/run/myapp.running

startMyapp()
{
    [ -e "$MYAPP_FILE" ] || touch "$MYAPP_FILE" || return "$FAIL"
    return "$SUCCESS"
}

stopMyapp()
{
    rm -f "$MYAPP_FILE" || return "$FAIL"
    return "$SUCCESS"
}

statusMyapp()
{
    [ -e "$MYAPP_FILE" ] || return "$FAIL"
    return "$SUCCESS"
}

myapp()
{
    if [ $# -ne 2 ]; then
        logAndPrint "$LOG_ERR" "usage: myapp start|stop|status ID"
        return "$FAIL"
    fi
    logAndPrint "$LOG_INFO" "$1 of $(getSvcName "$DB" "$2")"
    case $1 in
    start) startMyapp ;;
    stop) stopMyapp ;;
    status) statusMyapp ;;
    *)
        logAndPrint "$LOG_ERR" "$1 is none of start, stop, status"
        return "$FAIL"
        ;;
    esac
}
