#!/bin/sh
# A tour of evcli: it loads the sample logs into a temporary store, which is removed at the end, and shows each command
# before running it. Nothing of yours is touched. It runs `evcli` from PATH, or the program named by EVCLI.
set -eu

evcli=$(command -v "${EVCLI:-evcli}") || {
  echo "tour.sh: no ${EVCLI:-evcli} here; install it (pip install .), or name it: EVCLI=.venv/bin/evcli $0" >&2
  exit 127
}
case $evcli in
  /*) ;;
  *) evcli=$PWD/$evcli ;;
esac
CDPATH='' cd -- "$(dirname -- "$0")"
samples=$(pwd)

work=$(mktemp -d "${TMPDIR:-/tmp}/evcli-tour.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

export EVCLI_STORE="$work/store" EVCLI_CACHE="$work/cache" EVCLI_STATE="$work/state"
export EVCLI_CONFIG="$samples/evcli.toml"
unset EVCLI_ACTOR TRACEPARENT # they would go into every event's meta

# step TEXT: say what the next commands show.
step() {
  printf '\n# %s\n' "$1"
}

# run ARGUMENT...: show an evcli command as it would be typed, then run it. Errors stay in their place in a pipe too.
run() {
  printf '$ evcli'
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=@%+,-]*) printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  "$evcli" "$@" 2>&1
}

step "Record an event: a stream, a type, data. The receipt comes once it is on disk."
run append accounts/zoe account.opened 'owner=Zoe Marsh'

step "With --id a retry is safe: a repeat stores nothing and prints the first receipt."
run append accounts/zoe money.deposited amount:=10.00 --id gift-1
run append accounts/zoe money.deposited amount:=10.00 --id gift-1

step "A writer who has seen version 1 meets version 2: a conflict, and nothing is stored."
code=0
run append accounts/zoe money.withdrawn amount:=4.00 --expect 1 || code=$?
echo "(exit code $code)"
test "$code" -eq 3

step "Import history: a bank, a shop, machines. Each commit prints how many events it stored."
run append --from bank.jsonl --print count
run append --from shop.jsonl --print count
run append --from fleet.jsonl --print count

step "The streams of the bank, with their versions and times."
run streams 'accounts/*'

step "The audit trail: the last three events of one account."
run log accounts/ann --tail 3

step "States are folded from events, here by bank.py; code runs only once it is trusted."
run trust .

step "One account at three moments: the end of a day, an exact time, now."
run replay accounts/ann --until 2026-09-15
run replay accounts/ann --until '2026-10-15T12:00Z'
run replay accounts/ann

step "The same from a cached snapshot, as a whole or one value of it by a JSON pointer."
run query state accounts/ann
run query state accounts/ann /balance

step "Other streams have other reducers: rules in evcli.toml, or the built-in merge."
run query state machines/press-02 /celsius
run query state inventory/SKU-01
run query state orders/1030

step "A view is folded from many streams: what each customer ordered, asked by key, by a SQL expression, as of then."
run query get customers f.hedlund
run query rows customers --where 'orders > 8 and largest > 60' --sort -largest --limit 3
run query get customers f.hedlund /orders --until 2026-10-01
run query sql 'select count(*) as kinds, sum(times) as faults from faults'

step "A command goes to a decider, which answers with events or refuses; a transfer is one commit over two accounts."
run do accounts/ann transfer amount=12.50 to=accounts/zoe
code=0
run do accounts/zoe withdraw amount=1000 || code=$?
echo "(exit code $code)"
test "$code" -eq 5

step "An address belongs to one user, though no stream says that it is free."
run do users/1 register email=zoe@example.org
run do users/2 register email=Zoe@example.org && exit 1

step "A worker handles commands that were submitted, once in effect, and keeps views current (here once, as cron would)."
run submit accounts/ann deposit amount=5 --id gift-2
run work --once
run submit --status gift-2
run view list

step "A subscription runs a program for each event, and remembers under its name what was handled."
run on 'accounts/*' --type account.closed --name farewell --start first --once -- \
  sh -c 'echo "bye, $EVCLI_STREAM"'
run on --list

step "Is every byte what it was? All seals and hashes are checked, back to the first."
run verify

printf '\n%s\n' "Next: the tutorial in README.md, or 'evcli help design'. And when did accounts/carol fall below zero, and why?"
