#!/bin/bash
# Everything that CI checks, at home and there: scripts/test.sh [--long]
#   --long   50 moves under load instead of 10, and an etcd of three members
# As root it installs the packages that are missing (Debian) and runs all tests. Without root the tests that need
# namespaces are counted as "not run", never as passed.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

if [ "${1:-}" = --long ]; then export FAILOVER_LONG=1; fi
# A fresh clone compiles everything once: incremental state would only cost time and disk.
if [ -n "${CI:-}" ]; then export CARGO_INCREMENTAL=0; fi

readonly PACKAGES=(
  gcc libc6-dev pkg-config libssl-dev
  dovecot-core dovecot-pop3d dovecot-imapd dovecot-lmtpd haproxy nftables iproute2 util-linux procps
  openssh-server openssh-client shellcheck etcd-server etcd-client protobuf-compiler libprotobuf-dev fence-agents
  resource-agents kmod
)
readonly POLICY=/usr/sbin/policy-rc.d

section() { printf '\n== %s (at %d s)\n' "$*" "$SECONDS"; }

missing_packages() {
  local package
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

restore_policy() {
  if [ -e "$POLICY.failover-saved" ]; then mv -f "$POLICY.failover-saved" "$POLICY"; else rm -f "$POLICY"; fi
}

# Installs what is missing. The policy keeps Debian's packages from starting Dovecot, HAProxy and sshd on the real ports.
install_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    echo "not Debian: these packages, or what they are called here, must be there: ${PACKAGES[*]}"
    return
  fi
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" -eq 0 ]; then echo "all there"; return; fi
  if [ "$(id -u)" -ne 0 ]; then echo "not root, so not installed: ${missing[*]}"; return; fi
  trap restore_policy EXIT
  if [ -e "$POLICY" ]; then mv "$POLICY" "$POLICY.failover-saved"; fi
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
  restore_policy
  trap - EXIT
  echo "installed: ${missing[*]}"
}

choose_features() {
  mapfile -t features < <(scripts/etcd-feature.sh)
  if [ "${#features[@]}" -gt 0 ]; then
    echo "with the arbiter in etcd"
  else
    echo "not run: the arbiter in etcd: its build needs protoc (protobuf-compiler, libprotobuf-dev)"
  fi
}

# The decision core must not know what time it is, nor anything outside its arguments. Its tests may.
check_purity() {
  cargo check --locked -p failover-shared --no-default-features
  if grep -rnE '\b(std::(time|net|fs|process|thread|env)|tokio|getrandom|SystemTime|Instant)\b|\brand::' \
    --include='*.rs' --exclude-dir=tests --exclude=tests.rs shared/src/decision; then
    echo "the decision core reaches outside itself, see above" >&2
    return 1
  fi
}

# Planted bugs are looked at as well; they are in no other build.
lint() {
  cargo clippy --locked --workspace "${features[@]}" --features failover-simulator/planted --all-targets -- -D warnings
}

# The simulator and the model checker are built apart: by themselves they compile in seconds at the highest level.
simulate() {
  cargo nextest run --locked -p failover-simulator --cargo-profile simulation "$@"
}

# Ends with 1 if one of them failed.
simulate_and_lint() {
  local failed=0
  # The class is inherited.
  chrt --idle --pid 0 "$BASHPID" 2>/dev/null || renice -n 19 "$BASHPID" >/dev/null
  simulate >"$1.simulator" 2>&1 || failed=1
  lint >"$1.clippy" 2>&1 || failed=1
  return "$failed"
}

# Runs all tests; ends with what could not be run and the runner's own summary. The end-to-end tests mostly wait. What only
# computes takes what they leave of the cores meanwhile: in the kernel's idle class, which holds nobody up.
run_tests() {
  local log not_run status=0
  log=$(mktemp)
  not_run=$(mktemp)
  export FAILOVER_NOT_RUN=$not_run
  if [ "${#features[@]}" -eq 0 ]; then echo "not run: arbiter_etcd, arbiter_etcd_access: built without etcd" >"$not_run"; fi
  if cargo nextest --version >/dev/null 2>&1; then
    local others=(cargo nextest run --locked --workspace --exclude failover-simulator "${features[@]}")
    simulate --no-run
    # Built before anything computes beside it: one build at a time.
    "${others[@]}" --no-run
    simulate_and_lint "$log" &
    computing=$!
    # What runs behind a script is not told of an interrupt.
    trap 'pkill -P "$computing" || true' EXIT
    "${others[@]}" 2>&1 | tee "$log" || status=$?
    wait "$computing" || status=$?
    trap - EXIT
    section "Simulator and model checker"
    cat "$log.simulator"
    section "Clippy"
    cat "$log.clippy"
    cargo test --locked --workspace "${features[@]}" --doc --quiet 2>&1 | tee "$log.doc" || status=$?
    section "Summary"
    sed -n '/Summary \[/,$p' "$log.simulator"
    sed -n '/Summary \[/,$p' "$log"
    grep '^test result' "$log.doc" | sed 's/^/documentation: /' || true
  else
    lint || status=$?
    cargo test --locked -p failover-simulator --profile simulation --no-fail-fast 2>&1 | tee "$log" || status=$?
    cargo test --locked --workspace --exclude failover-simulator "${features[@]}" --no-fail-fast 2>&1 | tee -a "$log" ||
      status=$?
    section "Summary"
    grep -E '^test result|^test .* FAILED$' "$log" || true
  fi
  echo "not run: $(wc -l <"$not_run") tests"
  sort "$not_run"
  rm -f "$log" "$log.doc" "$log.simulator" "$log.clippy" "$not_run"
  return "$status"
}

section "Packages"
install_packages
section "Features"
choose_features
section "Format"
cargo fmt --all --check
echo "as rustfmt has it"
section "Shell"
if command -v shellcheck >/dev/null; then
  git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck
  # What these read, and what reads their variables, is their author's library, which is found at run time.
  git ls-files -z 'scripts/examples/failsafe2/*' | xargs -0 shellcheck --exclude=SC1090,SC2034
  echo "shellcheck has nothing to say"
else
  echo "not run: shellcheck is not installed"
fi
section "Dependencies"
scripts/check-dependencies.sh
section "Purity of the decision core"
check_purity
section "Binaries, with kill points and without"
scripts/build-failpoints.sh "${features[@]}"
section "Tests"
run_tests
