#!/bin/bash
# Holds the rules about other people's code: one TLS stack, known licences, one registry.
#   scripts/check-dependencies.sh              checks Cargo.lock and every crate in it
#   scripts/check-dependencies.sh --self-test  shows that each rule can fail
set -euo pipefail
cd "$(dirname "$0")/.."

# TLS is OpenSSL's, through native-tls: a second stack would be a second set of holes to watch. async-std is abandoned.
readonly BANNED='^(rustls.*|ring|aws-lc-.*|async-std)$'
# What may be linked into a program under MIT OR Apache-2.0 without further duties than naming the authors.
readonly LICENCES='MIT|Apache-2.0|Apache-2.0 WITH LLVM-exception|0BSD|BSD-2-Clause|BSD-3-Clause|ISC|Unicode-3.0|Unlicense|Zlib'

# Reads lines "name version|licence expression"; prints what is wrong and fails then.
check_crates() {
  awk -F'|' -v banned="$BANNED" -v allowed="$LICENCES" '
    function known(expression,    parts, count, i, n, choices, k, found) {
      gsub(/[()]/, "", expression)
      # An old way to write OR.
      gsub(/ *\/ */, " OR ", expression)
      count = split(expression, parts, / AND /)
      for (i = 1; i <= count; i++) {
        n = split(parts[i], choices, / OR /)
        found = 0
        for (k = 1; k <= n; k++) if (choices[k] in licence) found = 1
        if (!found) return 0
      }
      return count > 0
    }
    BEGIN { total = split(allowed, list, "|"); for (i = 1; i <= total; i++) licence[list[i]] = 1 }
    {
      split($1, words, " ")
      if (words[1] ~ banned) { print "banned: " $1; bad = 1 }
      if (!known($2)) { print "licence not on the list: " $1 ": " ($2 == "" ? "none" : $2); bad = 1 }
    }
    END { exit bad }'
}

# Reads a lock file; every crate that is not ours must come from one and the same registry.
check_sources() {
  awk '
    /^source = / { if (!($0 in seen)) { seen[$0] = 1; count++ }; if ($0 !~ /"registry\+/) { print "not from a registry: " $0; bad = 1 } }
    END { if (count > 1) { print "more than one source:"; for (s in seen) print "  " s; bad = 1 }; exit bad }'
}

self_test() {
  local line
  for line in 'ring v0.17.0|MIT' 'rustls-webpki v0.1.0|ISC' 'some v1.0.0|GPL-3.0-only' 'some v1.0.0|' \
    'some v1.0.0|MIT AND GPL-2.0-only' 'some v1.0.0|LGPL-2.1/GPL-3.0'; do
    if echo "$line" | check_crates >/dev/null; then echo "self-test: this was let through: $line" >&2; exit 1; fi
  done
  for line in 'some v1.0.0|(MIT OR GPL-3.0) AND Unicode-3.0' 'spring v1.0.0|MIT/Apache-2.0' 'fnv v1.0.0|Apache-2.0 / MIT' \
    'some v1.0.0|Apache-2.0 WITH LLVM-exception OR GPL-3.0'; do
    echo "$line" | check_crates
  done
  if echo 'source = "git+https://example.org/x"' | check_sources >/dev/null; then
    echo "self-test: a git source was let through" >&2; exit 1
  fi
  if printf 'source = "registry+%s"\n' a b | check_sources >/dev/null; then
    echo "self-test: two registries were let through" >&2; exit 1
  fi
}

self_test
[ "${1:-}" = --self-test ] && exit 0
# The workspace's own crates have a path behind their version; all others are one line each, for every platform.
crates=$(cargo tree --locked --workspace --all-features --target all --edges normal,build,dev --prefix none \
  --no-dedupe --format '{p}|{l}' | grep -v -e ' (/' -e '^$' | sed 's/ (proc-macro)//' | sort -u)
check_crates <<<"$crates"
check_sources <Cargo.lock
echo "$(wc -l <<<"$crates") crates: none banned, licences known, one registry"
