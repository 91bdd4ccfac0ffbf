#!/bin/sh
# An OCF resource agent, by the Resource Agent API 1.1: one program with the actions start, stop, monitor, validate-all and
# meta-data. It needs nothing but a shell; agents that use the library of the package resource-agents source
# $OCF_ROOT/lib/heartbeat/ocf-shellfuncs.
#
# To use it: copy it to /usr/lib/ocf/resource.d/example/web on both hosts, and put
#     Ocf(name: "web1", agent: "example/web", parameters: {"state": "/run/web1"})
# into `resources` of failover.ron, and a check
#     Resource(name: "web1", resource: "web1", every: "10s")
#
# Exits: 0 done, or runs; 1 failed; 2 a parameter cannot be used; 3 no such action; 6 a parameter is missing; 7 does not run.
# Each action may be called twice in a row, and must then succeed twice.

state=${OCF_RESKEY_state:-}

meta_data() {
    cat <<'END'
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="web" version="1.0">
<version>1.1</version>
<longdesc lang="en">Runs as long as its file is there.</longdesc>
<shortdesc lang="en">an example</shortdesc>
<parameters>
<parameter name="state" unique-group="state" required="1">
<longdesc lang="en">The file.</longdesc>
<shortdesc lang="en">file</shortdesc>
<content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="10s"/>
<action name="stop" timeout="10s"/>
<action name="monitor" timeout="10s" interval="10s" depth="0"/>
<action name="validate-all" timeout="5s"/>
<action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
END
}

# Says why it failed where both a person and the cluster look for that.
reason() {
    echo "${OCF_EXIT_REASON_PREFIX:-ocf-exit-reason:}$*" >&2
}

validate() {
    if [ -z "$state" ]; then
        reason "the parameter state is not set"
        return 6
    fi
    if [ ! -d "$(dirname "$state")" ]; then
        reason "there is no folder for $state"
        return 2
    fi
}

monitor() {
    [ -e "$state" ] || return 7
}

case ${1:-} in
meta-data) meta_data ;;
validate-all) validate ;;
# Asked on a host that was never set up, the answer is that it does not run there.
monitor) monitor ;;
start) validate && touch "$state" ;;
stop) rm -f "$state" ;;
*)
    echo "usage: $0 start|stop|monitor|validate-all|meta-data" >&2
    exit 3
    ;;
esac
