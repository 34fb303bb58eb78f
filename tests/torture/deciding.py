"""Rivals at one account, transfers that are killed, and two who claim one address: what deciders promise, they keep."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from evcli import Store
from evcli.cli import do
from evcli.domain.conditions import make_condition
from evcli.domain.events import Event
from evcli.domain.tries import ATTEMPTS
from evcli.errors import Conflict, EvcliError, Rejected
from evcli.project.config import load_config
from evcli.project.trust import trust
from evcli.storage.codec import loads
from evcli.storage.local import LocalStore
from evcli.write_side.executing import Deciding, execute
from tests.torture.forking import command, end, fork, side_by_side, wait, without_syncs
from tests.torture.rig import Figures, Rig, Tier
from tests.write_side.deciding import request

PRELOADED: Final = (do,)
"""Loaded once here rather than by each process that is forked."""
SAMPLES: Final = Path(__file__).parents[2] / "sample_logs"

_BANK: Final = '''\
"""The bank, whose events say what balance they were decided on."""

import bank
from bank import evolve, initial


def deposit(state, amount):
    return [(kind, data | {"before": state["balance"]}) for kind, data in bank.deposit(state, amount)]


def withdraw(state, amount):
    return [(kind, data | {"before": state["balance"]}) for kind, data in bank.withdraw(state, amount)]


commands = {"deposit": deposit, "withdraw": withdraw, "transfer": bank.transfer}
'''
_RIVALS: Final = 32
_COMMANDS_EACH: Final = 3
_TELLERS: Final = 8
_ACCOUNTS: Final = 50
_MONEY_EACH: Final = 100
_SIGNS: Final = {"money.deposited": 1, "money.received": 1, "money.sent": -1, "money.withdrawn": -1}


def opened(folder: Path, config: str, *files: str) -> Store:
    """Make a store below ``folder`` with this ``evcli.toml`` and these sample files; for evcli's commands, too."""
    (folder / "evcli.toml").write_text(config)
    for name in files:
        shutil.copy(SAMPLES / name, folder)
    places = {name: str(folder / name) for name in ("store", "cache", "state")}
    os.environ |= {f"EVCLI_{name.upper()}": place for name, place in places.items()}
    os.environ["EVCLI_CONFIG"] = str(folder / "evcli.toml")
    trust(str(folder), places["state"])
    store = Store(
        LocalStore(places["store"]),
        cache=places["cache"],
        state=places["state"],
        load_config=lambda: load_config(str(folder / "evcli.toml"), state_root=places["state"]),
    )
    store.create()
    return store


def _bank(folder: Path, accounts: int, amount: int) -> Store:
    (folder / "telling.py").write_text(_BANK)
    store = opened(folder, '[streams."accounts/*"]\nreducer = "bank.py"\ndecider = "telling.py"\n', "bank.py")
    for number in range(accounts):
        first = [("account.opened", {"owner": "o"}), ("money.deposited", {"amount": amount})]
        store.append(f"accounts/{number}", first)
    return store


def note(path: Path, *words: object) -> None:
    """Write a line that stays whoever is killed."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, " ".join(map(str, words)).encode() + b"\n")
    os.close(fd)


def notes(path: Path) -> list[list[str]]:
    """Return the words of each line that was noted."""
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def code_of(run: Callable[[], object]) -> int:
    """Run something and return the exit code that evcli would end with."""
    try:
        run()
    except EvcliError as error:
        return error.exit_code
    return 0


# rivals


def run_rivals(tier: Tier) -> Figures:
    figures = Figures()
    rounds = tier.of(1, 10)
    side_by_side(figures, [partial(_compete, tier.seed + n) for n in range(rounds)], in_memory=True)
    return figures


def _compete(seed: int, folder: Path, figures: Figures) -> None:
    """Let 32 withdraw, at the same moment, what is not enough for all of them, and pay a little in again."""
    without_syncs()
    store = _bank(folder, 1, _RIVALS)
    starting, start = os.pipe()
    deciding = store.deciding("accounts/0")
    rivals = [fork(partial(_withdraw, store, deciding, folder, number, starting)) for number in range(_RIVALS)]
    os.write(start, b"x" * _RIVALS)
    for pid in rivals:
        if wait(pid):
            figures.find("exceptions", f"seed {seed}: a rival failed")
    ended = {key: int(code) for key, code in notes(folder / "ended")}
    figures.states += len(ended)
    _judge_rivals(list(store.read_all()), ended, figures, f"seed {seed}")


def _withdraw(store: Store, deciding: Deciding, folder: Path, number: int, starting: int) -> None:
    os.read(starting, 1)
    for n in range(_COMMANDS_EACH):
        key, amount, attempts = f"{number}-{n}", 1 + (number + n) % 4, 1 + number % ATTEMPTS
        name = "deposit" if (number + n) % 4 == 0 else "withdraw"
        if number % 8 == 0:
            given = [f"amount:={amount}", "--id", key, "--attempts", str(attempts)]
            code = command(["do", "accounts/0", name, *given])
        else:
            asked = request("accounts/0", name, {"amount": amount}, id=key)
            code = code_of(partial(execute, store.log, asked, deciding, attempts=attempts))
        note(folder / "ended", key, code)


def _judge_rivals(events: list[Event], ended: Mapping[str, int], figures: Figures, where: str) -> None:
    balance = 0
    stored: dict[str, int] = {}
    for event in events:
        place, before = f"{where}, version {event['version']}", event["data"].get("before", balance)
        if before != balance:
            figures.find("exceptions", f"{place}: decided on a balance of {before}, stored upon {balance}")
        balance += _SIGNS.get(event["type"], 0) * event["data"].get("amount", 0)
        if balance < 0:
            figures.find("exceptions", f"{place}: a balance of {balance}")
        if "id" in event:
            stored[event["id"]] = stored.get(event["id"], 0) + 1
    for key, code in ended.items():
        _judge_one(key, code, stored.get(key, 0), figures, where)
        if code not in (0, Rejected.exit_code, Conflict.exit_code):
            figures.find("exceptions", f"{where}: {key} ended with {code}")
    if len(ended) != _RIVALS * _COMMANDS_EACH or stored.keys() - ended.keys():
        figures.find("exceptions", f"{where}: {len(ended)} ended, {stored.keys() - ended.keys()} are nobody's")
    for name, code in (("accepted", 0), ("rejected", Rejected.exit_code), ("out of attempts", Conflict.exit_code)):
        figures.more[name] = list(ended.values()).count(code)


def _judge_one(key: str, code: int, times: int, figures: Figures, where: str) -> None:
    if code == 0 and not times:
        figures.find("lost", f"{where}: {key} was accepted and is not there")
    if times > 1 or (times and code):
        figures.find("duplicates", f"{where}: {key} ended with {code} and is there {times} times")


# transfers


def run_transfers(tier: Tier) -> Figures:
    figures = Figures()
    side_by_side(figures, [partial(_transfer_all, tier.seed, tier.of(1_000, 10_000))], in_memory=True)
    return figures


def _transfer_all(seed: int, count: int, folder: Path, figures: Figures) -> None:
    """Let eight tellers transfer, kill one after the other, and let another go on where it was."""
    without_syncs()
    store = _bank(folder, _ACCOUNTS, _MONEY_EACH)
    chance = random.Random(seed)
    deciding = store.deciding("accounts/0")
    share = partial(_transfer, store, deciding, folder, seed, count)
    at_work = {number: fork(partial(share, number)) for number in range(_TELLERS)}
    try:
        while at_work:
            time.sleep(chance.uniform(0, 0.08))
            number = chance.choice(list(at_work))
            with suppress(ProcessLookupError):
                os.kill(at_work[number], signal.SIGKILL)
            status = wait(at_work.pop(number))
            if status == -signal.SIGKILL:
                figures.more["kills"] = figures.more.get("kills", 0) + 1
                at_work[number] = fork(partial(share, number))
            elif status:
                figures.find("exceptions", f"seed {seed}: a teller ended with {status}")
    finally:
        for pid in at_work.values():
            end(pid)
    _judge_transfers(store, folder, count, figures, f"seed {seed}")


def _transfer(store: Store, deciding: Deciding, folder: Path, seed: int, count: int, number: int) -> None:
    """Do a teller's share from where it has got to; what was going on is done again, under the same id."""
    for n in range(len(notes(folder / f"teller-{number}")) * _TELLERS + number, count, _TELLERS):
        chance = random.Random(f"{seed} {n}")
        source, target = chance.sample(range(_ACCOUNTS), 2)
        data = {"amount": chance.randint(1, 60), "to": f"accounts/{target}"}
        asked = request(f"accounts/{source}", "transfer", data, id=f"t{n}")
        code = Conflict.exit_code
        while code == Conflict.exit_code:
            code = code_of(partial(execute, store.log, asked, deciding))
        note(folder / f"teller-{number}", f"t{n}", code)


def _judge_transfers(store: Store, folder: Path, count: int, figures: Figures, where: str) -> None:
    balances: dict[str, int] = {}
    stored: dict[str, int] = {}
    total = 0
    for events in _commits(store):
        for event in events:
            moved = _SIGNS.get(event["type"], 0) * event["data"].get("amount", 0)
            balances[event["stream"]] = balances.get(event["stream"], 0) + moved
            total += moved if event["type"] == "money.deposited" else 0
            if event["type"] == "money.sent":
                stored[event["id"]] = stored.get(event["id"], 0) + 1
        figures.states += 1
        if sum(balances.values()) != total or min(balances.values()) < 0:
            figures.find("partial", f"{where}, position {events[-1]['position']}: {sum(balances.values())} of {total}")
    ended = {key: int(code) for n in range(_TELLERS) for key, code in notes(folder / f"teller-{n}")}
    for key, code in ended.items():
        _judge_one(key, code, stored.get(key, 0), figures, where)
        if code not in (0, Rejected.exit_code):
            figures.find("exceptions", f"{where}: {key} ended with {code}")
    if ended.keys() != {f"t{n}" for n in range(count)} or total != _ACCOUNTS * _MONEY_EACH:
        figures.find("exceptions", f"{where}: {len(ended)} of {count} ended, with {total}")
    figures.more["accepted"] = list(ended.values()).count(0)
    store.verify()


def _commits(store: Store) -> Iterator[list[Any]]:
    for lines in store.log.read_all(end=store.head().position):
        yield [loads(line) for line in lines]


# unless


def run_unless(tier: Tier) -> Figures:
    figures = Figures()
    side_by_side(figures, [partial(_claim_all, tier.of(100, 1_000))], in_memory=True)
    return figures


def _claim_all(rounds: int, folder: Path, figures: Figures) -> None:
    """Let two claim the same address at the same moment, round by round: by a decider, by a condition, and by commands."""
    without_syncs()
    store = opened(folder, '[streams."users/*"]\nreducer = "users.py"\ndecider = "users.py"\n', "users.py")
    store.append("users/first", [("user.registered", {"email": "first@example.org"})])
    deciding = store.deciding("users/x")
    ways = [os.pipe() for _ in range(2)]
    claim = partial(_claim, store, deciding, folder, rounds)
    claimants = [fork(partial(claim, n, (ways[n][0], ways[1 - n][1]))) for n in range(len(ways))]
    for pid in claimants:
        if wait(pid):
            figures.find("exceptions", "a claimant failed")
    owners: dict[str, int] = {}
    for event in store.read_all():
        owners[event["data"]["email"]] = owners.get(event["data"]["email"], 0) + 1
    codes: dict[str, list[int]] = {}
    for email, code in [noted for n in range(2) for noted in notes(folder / f"claims-{n}")]:
        codes.setdefault(email, []).append(int(code))
    for number in range(rounds):
        email = f"{number}@example.org"
        figures.states += 1
        if owners.get(email, 0) > 1:
            figures.find("duplicates", f"{email} has {owners[email]} owners")
        if owners.get(email, 0) == 0 or sorted(codes.get(email, [])) != [0, Conflict.exit_code]:
            figures.find(
                "exceptions", f"{email} has {owners.get(email, 0)} owners; the claims ended with {codes.get(email)}"
            )


def _claim(store: Store, deciding: Deciding, folder: Path, rounds: int, who: int, meeting: tuple[int, int]) -> None:
    for number in range(rounds):
        email, user = f"{number}@example.org", f"users/{who}-{number}"
        end_of_store = store.head().position
        os.write(meeting[1], b"x")  # both are here now, or soon
        os.read(meeting[0], 1)
        note(folder / f"claims-{who}", email, _claim_one(store, deciding, number, (user, email), end_of_store))


def _claim_one(store: Store, deciding: Deciding, number: int, claim: tuple[str, str], end_of_store: int) -> int:
    user, email = claim
    if number % 20 == 7:
        return command(["do", user, "register", f"email={email}"])
    if number % 20 == 17:
        unless = f"users/* user.registered /data/email={email}"
        return command(["append", user, "user.registered", f"email={email}", "--unless", unless])
    if number % 2:
        return code_of(partial(execute, store.log, request(user, "register", {"email": email}), deciding))
    after = 0 if number % 4 else end_of_store - 1
    condition = make_condition("users/*", "user.registered", {"/data/email": email}, after=after)
    return code_of(partial(store.append, user, [("user.registered", {"email": email})], unless=[condition]))


RIGS = [Rig("rivals", run_rivals), Rig("transfers", run_transfers), Rig("unless", run_unless)]
