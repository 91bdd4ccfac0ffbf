#!/bin/sh
# Prints cargo's option for the arbiter in etcd, or nothing where that cannot be built: scripts/etcd-feature.sh
# It is a feature, since its build needs protoc and the definitions that come beside it.
set -eu
protoc=$(command -v protoc) || exit 0
if [ -e "$(dirname "$protoc")/../include/google/protobuf/descriptor.proto" ]; then echo --features=etcd; fi
