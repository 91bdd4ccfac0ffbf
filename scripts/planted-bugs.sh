#!/bin/bash
# Shows that the simulator and the tests see: puts one bug after another into the program, and each has to be caught.
#   scripts/planted-bugs.sh [--schedules N] [--bug NAME]
#   --schedules N   random schedules to catch a bug in, at most (200000)
#   --bug NAME      only this one
# A line each. Ends with 1 when one is not caught, or when the canary is not found in about 1 % of the seeds.
set -euo pipefail
cd "$(dirname "$0")/.."

schedules=200000
only=
while [ $# -gt 0 ]; do
  case "$1" in
    --schedules) schedules=$2; shift 2 ;;
    --bug) only=$2; shift 2 ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

# Bugs that no simulated pair can have, because they are the acting half's, or shows once in millions of schedules; each
# with the test that must turn red.
readonly BY_TEST='empty-group-is-evidence stop::tests::condition::an_empty_group_proves_nothing_unless_ours_was_seen_in_it
echo-ignored heartbeat::freshness::tests::a_beat_counts_only_once_it_echoes_the_nonce
claim-stays-young decision::tests::contend::a_claim_that_grew_old_before_its_first_renewal_is_made_anew
answers-stay-fresh decision::tests::leave::an_answer_is_as_old_as_the_sending_that_it_answers_and_not_as_the_newest
leave-forgotten decision::tests::leave::over_a_restart_a_host_remembers_that_it_let_the_other_one_start'

cargo build --locked --quiet --profile simulation -p failover-simulator --features planted --bin simulate
simulate="${CARGO_TARGET_DIR:-target}/simulation/simulate"
missed=0

while read -r bug; do
  if [ -n "$only" ] && [ "$only" != "$bug" ]; then continue; fi
  # echo-ignored is one of both halves.
  if [ "$bug" != echo-ignored ] && grep -q "^$bug " <<<"$BY_TEST"; then continue; fi
  "$simulate" --bug "$bug" --schedules "$schedules" || missed=$((missed + 1))
done < <("$simulate" --bugs)

while read -r bug test; do
  if [ -n "$only" ] && [ "$only" != "$bug" ]; then continue; fi
  # That a test turns red is what is looked for here, and no failure of this script.
  run() { cargo test --locked --quiet -p failover-shared --features planted --lib -- --exact "$test" 2>&1 || true; }
  if ! run | grep -q '1 passed'; then echo "$test does not pass without a bug"; missed=$((missed + 1)); continue; fi
  if PLANTED_BUG=$bug run | grep -q '1 failed'; then
    echo "$bug caught after 1 schedules: by the test $test"
  else
    echo "$bug NOT caught by the test $test"
    missed=$((missed + 1))
  fi
done <<<"$BY_TEST"

if [ -z "$only" ]; then "$simulate" --canary || missed=$((missed + 1)); fi
if [ "$missed" -gt 0 ]; then echo "$missed not caught" >&2; exit 1; fi
