#!/bin/sh
# ha_statd2: FailSafe's own rpc.statd, whose list of lock holders moved with the service. Linux's does that too.

echo "ha_statd2: this host's rpc.statd does its work, with its list on the shared store: rpc.statd -P FOLDER" >&2
echo "next: name that FOLDER as state-directory of a resource of the type statd_unlimited, which tells the clients" >&2
exit 2
