"""Every command's help begins with examples that run, and every topic is there and tells the truth in its examples."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from evcli.cli.help import topic_text, topics
from evcli.cli.main import COMMANDS
from tests.cli.driving import Evcli
from tests.test_readme import isolated
from tests.torture.rigs import all_rigs

ROOT = Path(__file__).parent.parent
NAMES = [command.words for command in COMMANDS]
TOPICS = (
    "commands",
    "debugging",
    "deciders",
    "design",
    "exit-codes",
    "format",
    "guarantees",
    "reducers",
    "subscriptions",
    "testing",
    "time",
    "views",
)
_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PREPARE = r"""
for n in 1 2 3 4 5; do
  evcli append accounts/ann money.deposited amount:=$n.00 balance:=$n owner=Ann --time '9 days ago' || exit
done
evcli append jobs/nightly job.started
evcli append inventory/lamp item.received qty:=3
evcli append inventory/mugs item.received sku=SKU-01 qty:=30 name='Enamel mug' --time '9 days ago'
cat >> evcli.toml <<'END'
[streams."accounts/*"]
decider = "bank.py"
[streams."accounts/*".undo]
"money.deposited" = { type = "money.withdrawn", data = { amount = "/data/amount" } }
[views.stock]
from = "inventory/*"
key = "/data/sku"
columns = { qty = "integer" }
[views.stock.on]
"item.received" = { inc = { qty = "/data/qty" }, set = { name = "/data/name" } }
END
evcli work --once -q
"""
# What the examples take for granted: a program of the user's, files, directories, a second store.
SETTING = r"""
generate() { echo '{"stream":"accounts/bob","type":"account.opened"}'; }
echo '{"type":"money.deposited","data":{"amount":1}}' > events.jsonl
cat > bank.py <<'END'
initial = {"events": 0}


def evolve(state, event):
    return {"events": state["events"] + 1}


def move(state, amount: float, to="accounts/bob"):
    return [("money.moved", {"amount": amount}), (to, "money.moved", {"amount": -amount})]


commands = {"deposit": move, "withdraw": move, "transfer": move}
END
cp bank.py new.py
evcli trust . -q
printf '#!/bin/sh\necho 1\n' > fold.sh && chmod +x fold.sh
mkdir -p ~/projects/bank && cp evcli.toml ~/projects/bank/
"""
# A view that cannot get past an event until a directory is there.
PARKED = r"""
cat > evcli.toml <<'END'
[views.stock]
from = "inventory/mugs"
key = "stream"
reducer = "exec:test -d up && head -n 1"
END
evcli trust . -q
! evcli query rows stock 2> why || exit
"""
SPECS = r"""
mkdir -p specs
cat > specs.toml <<'END'
stream = "accounts/ann"
[[spec]]
given = [{ type = "account.opened" }]
when = { type = "deposit", data = { amount = 1 } }
then = { events = [{ type = "money.moved", data = { amount = 1 } }, { stream = "accounts/bob", type = "money.moved", data = { amount = -1 } }], state = { events = 2 } }
END
cp specs.toml specs/
echo '{"then":{"state":{}}}' > specs.jsonl
"""
ENDLESS = (" --follow",)
PROGRAMS = ("jq", "sqlite3", "sha256sum")


def run_sh(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a directory in which evcli has never been used, but for what ran there before."""
    return subprocess.run(
        ["sh", "-c", script],
        cwd=home,
        env=isolated(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store that has the streams which the examples name."""
    home = tmp_path_factory.mktemp("home").resolve()
    done = run_sh("evcli init\n" + PREPARE + SETTING, home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared directory."""
    return Path(shutil.copytree(prepared, tmp_path / "home"))


def _help_of(words: str, home: Path) -> str:
    done = run_sh(f"evcli {words} --help", home)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _blocks(topic: str, language: str) -> Iterator[str]:
    return (block[3] for block in _FENCE.finditer(topic_text(topic)) if block[1] == language)


def _is_missing_a_program(script: str) -> bool:
    return any(program in script and shutil.which(program) is None for program in PROGRAMS)


def _skip_where_programs_are_missing(script: str) -> None:
    if _is_missing_a_program(script):
        pytest.skip("a program is not installed")


@pytest.mark.parametrize("words", NAMES)
def test_the_help_of_a_command_begins_with_examples_and_they_run(words: str, home: Path) -> None:
    text = _help_of(words, home)
    first, _, rest = text.partition("\n\n")
    assert first.startswith("Examples:\n"), text
    assert rest.lstrip().startswith("Usage: "), text
    for example in (line.strip() for line in first.splitlines()[1:]):
        assert f"evcli {words}" in example
        if example == "evcli work" or any(word in example for word in ENDLESS) or _is_missing_a_program(example):
            continue
        example = example.replace(" /backup/", " ~/backup/")  # noqa: PLW2901 (the root directory is not ours)
        done = run_sh(_setting_for(example) + example, home)
        talks = "--explain" in example or "--profile" in example or words == "work"
        answer = 1 if words in ("diff", "bisect") and done.returncode == 1 else 0  # there is a difference, an event
        assert (done.returncode, "" if talks else done.stderr) == (answer, ""), example


# What comes before an example that has these words: the state of things in which one would type it.
BEFORE = {
    r"--expect 2": "export EVCLI_STORE=$HOME/at-2; for n in 1 2; do evcli append accounts/ann x -q 2>/dev/null; done\n",
    r"--at-least 42": 'yes \'{"type":"x"}\' | head -n 42 | evcli append accounts/eve --from - -q\n',
    r"~/backup/bank": "mkdir backup && cp -R .evcli backup/bank\n",
    # A copied cache is not believed.
    r"view rollback": "evcli view rebuild stock -q && evcli view rebuild stock -q\n",
    r"view (retry|skip)": PARKED,
    r"view retry": "mkdir up\n",
    r"diff .*accounts/eve": "evcli append accounts/eve account.opened owner=Eve --time '9 days ago' -q\n",
    r"on --(?!name).*archive": "evcli on '**' --name archive --start first --once -- true\n",
    r"order-76": "evcli submit accounts/ann deposit amount:=1 --id order-76 -q\n",
    r"evcli test": SPECS,
    r"verify --against": "evcli checkpoint >> checkpoints.txt\n",
}


def _setting_for(example: str) -> str:
    return SETTING + "".join(setting for words, setting in BEFORE.items() if re.search(words, example))


@pytest.mark.parametrize("words", NAMES)
def test_help_of_a_commands_name_is_its_help(words: str, evcli: Evcli) -> None:
    if words not in TOPICS:
        assert evcli.ok("help", words).out == evcli.ok(*words.split(), "--help").out


def test_help_alone_lists_all_commands_and_all_topics(evcli: Evcli) -> None:
    text = evcli.ok("help").out.decode()
    assert [words for words in NAMES if f"evcli {words} " not in text] == []
    assert [topic for topic in TOPICS if topic not in text.split("Topics")[1]] == []


def test_there_are_just_these_topics() -> None:
    assert tuple(topics()) == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_printed_as_it_is_and_fits_a_terminal(topic: str, evcli: Evcli) -> None:
    assert evcli.ok("help", topic).out.decode() == topic_text(topic)
    too_long = [line for line in topic_text(topic).splitlines() if len(line) > 100 and not line.startswith('{"')]
    assert too_long == []


def test_a_topic_that_is_not_there_names_those_that_are(evcli: Evcli) -> None:
    assert "evcli help guarantees" in evcli.fails(2, "help", "garantees")


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "format"])
def test_the_shell_examples_of_a_topic_run(topic: str, home: Path) -> None:
    for block in _blocks(topic, "sh"):
        _skip_where_programs_are_missing(block)
        if not any(word in block for word in ENDLESS):
            done = run_sh("evcli trust . -q\n" + block, home)
            assert (done.returncode, done.stderr) == (0, ""), block


@pytest.fixture
def example_store(tmp_path: Path) -> Path:
    """The store that ``evcli help format`` shows, byte for byte."""
    root = tmp_path / "shown"
    for block in _FENCE.finditer(topic_text("format")):
        if block[2]:
            path = root / block[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block[3])
    return root


def test_the_store_that_the_format_topic_shows_is_a_store(example_store: Path, tmp_path: Path) -> None:
    done = run_sh(
        f"evcli verify --store {example_store} -o table && evcli checkpoint --store {example_store}", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "4 events in 2 streams, 3 commits" in done.stdout
    mark = (example_store / "lock").read_text()
    assert int(mark[:20]) == 4
    assert done.stdout.splitlines()[-1] == "4:" + mark.split(":")[1]


def test_the_next_append_builds_on_the_store_that_the_format_topic_shows(example_store: Path, tmp_path: Path) -> None:
    before = (example_store / "streams/accounts/ann.jsonl").read_bytes()
    done = run_sh(f"evcli append accounts/ann x --store {example_store} --expect 3 --print position", tmp_path)
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert (example_store / "streams/accounts/ann.jsonl").read_bytes().startswith(before)


def test_a_commit_cut_short_is_kept_in_quarantine_as_the_format_topic_shows(
    example_store: Path, tmp_path: Path
) -> None:
    (shown,) = (example_store / "quarantine").iterdir()
    about, torn, _ = shown.read_text().split("\n")
    cut = json.loads(about)
    stream = example_store / cut["file"]
    stream.write_text(stream.read_text()[: cut["offset"]] + torn)
    (example_store / "streams/accounts/bob.jsonl").unlink()
    before = b"00000000000000000002:822c30f3cb60db8873e0a9ba2e82de385e8ed83b6aa13351121754c577b187fc:"
    (example_store / "lock").write_bytes(before + sha256(before).hexdigest()[:8].encode() + b"\n")
    done = run_sh(f"evcli append accounts/ann x --store {example_store} --expect 2 --print position", tmp_path)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    (made,) = (path for path in (example_store / "quarantine").iterdir() if path != shown)
    assert made.read_text() == shown.read_text()
    assert re.sub(r"[0-9a-f]", "0", made.name) == re.sub(r"[0-9a-f]", "0", shown.name)


def test_the_format_topics_commands_check_every_seal_and_hash(example_store: Path, tmp_path: Path) -> None:
    first, every_seal, every_hash, _ = _blocks("format", "sh")
    _skip_where_programs_are_missing(first)
    env = isolated(tmp_path)
    # A commit of several events, so that the loop over a stream meets one.
    run_sh(
        f'printf \'%s\\n\' \'{{"type":"a"}}\' \'{{"type":"b"}}\' | evcli append accounts/ann --from - --store {example_store}',
        tmp_path,
    )

    def printed(script: str) -> str:
        return subprocess.run(
            ["sh", "-c", script], cwd=example_store, env=env, capture_output=True, text=True, check=True
        ).stdout

    assert printed(first).startswith("f233074eda238b279ced1b868e16d29e2d4336b03b69680f13c084a82a44e715")
    stream = (example_store / "streams/accounts/ann.jsonl").read_text()
    seals = re.findall(r'"seal":"(\w{64})"\}$', stream, re.MULTILINE)
    assert len(seals) == 4
    assert stream.count("\n") == 5
    assert printed(every_seal) == "".join(f"right {seal}\n" for seal in seals)
    hashes = re.findall(r'"hash":"(\w{64})"\}$', (example_store / "journal.jsonl").read_text(), re.MULTILINE)
    assert printed(every_hash) == "".join(f"right {hash_}\n" for hash_ in hashes)
    (example_store / "streams/accounts/ann.jsonl").write_text(stream.replace("10.00", "99.00"))
    assert printed(every_seal).count("WRONG") == 1


def test_the_format_topics_look_without_evcli_shows_the_events(example_store: Path) -> None:
    look = list(_blocks("format", "sh"))[-1]
    _skip_where_programs_are_missing(look)
    done = subprocess.run(["sh", "-c", look], cwd=example_store, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 1 + 1 + 4
    assert [line.split(",")[0] for line in lines[-4:]] == [f'{{"position":{n}' for n in (1, 2, 3, 4)]


def test_the_guarantees_name_rigs_and_test_directories_that_are_there() -> None:
    column = re.findall(r"\| ([a-z0-9/, -]+?) +\|$", topic_text("guarantees").partition("## Proof")[0], re.MULTILINE)
    named = {name for cell in column for name in re.split(r"[, ]+", cell) if name} - {"shown", "by"}
    rigs = {rig.name for rig in all_rigs()}
    directories = {f"{path.name}/" for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
    assert rigs <= named
    assert named <= rigs | directories


def test_the_guarantees_give_the_figures_of_every_rig() -> None:
    proof = topic_text("guarantees").partition("## Proof")[2].partition("\n## ")[0]
    for rig in all_rigs():
        assert re.search(rf"^\| {rig.name} +\| +[0-9,]+ \|", proof, re.MULTILINE), rig.name
