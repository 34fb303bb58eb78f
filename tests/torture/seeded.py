"""Seeded bugs: one-line patches that break a rule of the store, and the tests that catch them.

``python -m tests.torture.seeded [NAME…]`` applies each to a copy of the project, runs the tests named with it there
until one fails, and says which. All of them are caught, or the tests have to get better.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
CRASH = "tests/torture/test_rigs.py -k crash"
FAULTS = "tests/torture/test_rigs.py -k fsync"
TORN = "tests/storage/test_torn.py"
FILES = "tests/storage/test_files.py"
MANY = "tests/storage/test_concurrency.py"
VIEWS = "tests/torture/test_rigs.py -k views"
RIVALS = "tests/torture/test_rigs.py -k rivals"
ONCE = "tests/write_side/test_once.py"
WORKING = "tests/write_side/test_working.py"


class Seed(NamedTuple):
    """A bug: its name, the file (in ``storage``), what is replaced by what (once), and the tests that are to catch it."""

    name: str
    file: str
    old: str
    new: str
    tests: str


SEEDS = (
    Seed("no fdatasync of the journal", "writing.py", "            sync_data(journal_fd)\n", "", CRASH),
    Seed(
        "no fdatasync of the stream",
        "writing.py",
        "        sync_data(fd)\n    finally",
        "        pass\n    finally",
        CRASH,
    ),
    Seed(
        "no fsync of a new stream's directories",
        "writing.py",
        "        sync_stream_folders(root, stream)\n",
        "        pass\n",
        CRASH,
    ),
    Seed(
        "no fsync of a new store's directory",
        "layout.py",
        "    sync_tree_above(root)\n\n\ndef _is_there",
        "\n\ndef _is_there",
        CRASH,
    ),
    Seed("no lock", "files.py", "        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "        pass\n", MANY),
    Seed(
        "a failed fsync is tried again",
        "files.py",
        "            plain(fd)\n",
        "            try:\n                plain(fd)\n            except OSError:\n                plain(fd)\n",
        FAULTS,
    ),
    Seed(
        "a failed fsync is taken for done",
        "files.py",
        "        raise SyncFailed(error) from error\n",
        "        return\n",
        FAULTS,
    ),
    Seed(
        "no settling", "local.py", "settle_last_commit(self.root, lock_fd, now=time)", "self._looks.look().head", TORN
    ),
    Seed(
        "settling forward does not write the bytes again",
        "settle.py",
        "            write_all(fd, part.text, part.write.offset)\n            sync_data(fd)\n",
        "            pass\n",
        CRASH,
    ),
    Seed(
        "settling back cuts the journal first",
        "settle.py",
        "    cut_streams(root, [part.write for part in parts])\n    cut_journal(journal_fd, tail.start)\n",
        "    cut_journal(journal_fd, tail.start)\n    cut_streams(root, [part.write for part in parts])\n",
        CRASH,
    ),
    Seed(
        "settling back does not sync the streams",
        "settle.py",
        "                    os.ftruncate(fd, write.offset)\n                sync_file(fd)\n",
        "                    os.ftruncate(fd, write.offset)\n",
        CRASH,
    ),
    Seed(
        "settling does not sync the journal first",
        "settle.py",
        "            sync_file(fd)  # somebody may",
        "            pass  # somebody may",
        CRASH,
    ),
    Seed(
        "the mark before the stream's sync",
        "writing.py",
        "            for part in commit.parts:\n",
        "            set_mark(lock_fd, commit.head)\n            for part in commit.parts:\n",
        CRASH,
    ),
    Seed("a mark beyond the journal is ignored", "settle.py", "if mark.position > end or (", "if False and (", TORN),
    Seed(
        "a marked commit is not looked at",
        "settle.py",
        "            _require_whole(root, tail.last)\n",
        "            pass\n",
        TORN,
    ),
    Seed(
        "the mark is believed unchecked",
        "lines.py",
        "return mark if text[:MARK_BYTES] == write_mark(mark) else None",
        "return mark",
        TORN,
    ),
    Seed("NULs are holes wherever they end", "lines.py", "(offset + run.end()) % SECTOR == 0", "True", TORN),
    Seed("a torn line in the journal is kept", "settle.py", "    cut_journal(fd, tail.end)\n", "    pass\n", TORN),
    Seed(
        "a torn line is cut without a look at the streams",
        "settle.py",
        "    _check_no_stream_beyond(root, tail.last.last_position if tail.last else 0)\n",
        "",
        TORN,
    ),
    Seed(
        "the seal is not checked by readers",
        "stream_file.py",
        "        if chain(seal, view[begin : end - SUFFIX_BYTES - 1], among=len(text)) != stated:",
        "        if False:",
        "tests/torture/test_rigs.py -k flips",
    ),
    Seed(
        "the seal leaves the last line out",
        "lines.py",
        "    digest.update(body)\n    return digest.hexdigest()\n",
        "    digest.update(body[: bytes(body).rfind(b'\\n') + 1])\n    return digest.hexdigest()\n",
        "tests/storage/test_format.py",
    ),
    Seed(
        "the seal of very many events is that of the first of them",
        "lines.py",
        "        digest.update(body)\n",
        "        pass\n",
        "tests/storage/test_canonical_json.py",
    ),
    Seed(
        "lines are read all at once though something gets lost",
        "canonical_json.py",
        ' and orjson.dumps(values) == b"[" + b",".join(lines) + b"]"',
        "",
        "tests/storage/test_canonical_json.py",
    ),
    Seed(
        "the data are serialised again",
        "codec.py",
        "    return _scan(text, 0, whole=True)[1]\n",
        "    return json.dumps(_scan(text, 0, whole=True)[0])\n",
        "tests/storage/test_codec.py",
    ),
    Seed(
        "lines are split at every line end of Unicode",
        "contract.py",
        'return self.text.split(b"\\n")[:-1]',
        "return [line.encode() for line in self.text.decode().splitlines()]",
        "tests/storage/test_contract.py",
    ),
    Seed(
        "symbolic links are followed",
        "files.py",
        "_NO_FOLLOW: Final = os.O_NOFOLLOW | os.O_CLOEXEC",
        "_NO_FOLLOW: Final = os.O_CLOEXEC",
        FILES,
    ),
    Seed(
        "hard links are written to",
        "files.py",
        "(found.st_nlink <= 1 or not flags & (os.O_RDWR | os.O_WRONLY))",
        "True",
        FILES,
    ),
    Seed(
        "readers count what is not sealed yet",
        "looking.py",
        "    if tail.last is None or _is_whole(root, tail.last, marked=marked):",
        "    if True:",
        MANY,
    ),
    Seed(
        "the stream's length is not compared with the journal",
        "settle.py",
        "    if size > end and at_end:\n",
        "    if False:\n",
        TORN,
    ),
    Seed(
        "the expected version is not looked at under the lock",
        "local.py",
        "        remaining.check_expected(tips)\n",
        "",
        MANY,
    ),
    Seed(
        "a state is written in place",
        "files.py",
        "        os.replace(temporary, path)\n",
        '        with open(path, "wb") as file:\n            file.write(text)\n',
        "tests/storage/test_files.py tests/torture/test_rigs.py -k 'replaced or crash'",
    ),
    Seed(
        "an id is looked at after the expectation",
        "local.py",
        "        remaining = leave_out_repeats(\n            writes, lambda stream, keys: self._find_ids(stream, tips[stream], keys), once=once\n",
        "        Remaining(list(writes), None, 0, [*range(99)]).check_expected(tips)\n        remaining = leave_out_repeats(\n            writes, lambda stream, keys: self._find_ids(stream, tips[stream], keys), once=once\n",
        "tests/storage/test_contract.py",
    ),
    Seed(
        "rows and checkpoint of a view in separate transactions",
        "read_side/folding.py",
        "            with self._file.transaction(self.checkpoint):\n",
        "            if self._file.checkpoint() == self.checkpoint:\n",
        VIEWS,
    ),
    Seed(
        "a view's file is believed whatever happened to it",
        "view_folder.py",
        "return _guard(self.path_of(slot)) == slot.guard",
        "return os.path.exists(self.path_of(slot))",
        "tests/read_side/test_views.py",
    ),
    Seed(
        "a view goes on with another history",
        "read_side/keeping.py",
        "return self.store.holds(checkpoint.head_position, checkpoint.head_hash)",
        "return bool(checkpoint)",
        "tests/read_side/test_views.py",
    ),
    Seed(
        "a subscription remembers an event before it is handled",
        "read_side/running.py",
        "self._window[item.position] = False",
        "self._window[item.position] = True",
        VIEWS,
    ),
    Seed(
        "a decision does not expect the version that it was made on",
        "write_side/executing.py",
        "        writes[0] = writes[0]._replace(expect=version)\n",
        "        pass\n",
        RIVALS,
    ),
    Seed(
        "a decision on other streams is stored whatever has become of its own",
        "write_side/executing.py",
        "    unless = (*decided.unless, decided.guard) if decided.guard else decided.unless\n",
        "    unless = decided.unless\n",
        ONCE,
    ),
    Seed(
        "a command's events do not have its id",
        "write_side/executing.py",
        "id=request.id if is_own else None",
        "id=None",
        "tests/torture/test_rigs.py -k transfers",
    ),
    Seed(
        "an id stands for its event alone, not for the commit",
        "write_side/executing.py",
        "lock_wait=lock_wait, unless=unless, once=True)",
        "lock_wait=lock_wait, unless=unless)",
        ONCE,
    ),
    Seed(
        "a repeat is looked for before the state is read, not after",
        "write_side/executing.py",
        "    if store.has_more(end) and",
        "    if False and",
        ONCE,
    ),
    Seed(
        "what became of a command is stored after its events",
        "write_side/working.py",
        "attempts=tries, lock_wait=wait, also=also)\n",
        "attempts=tries, lock_wait=wait)\n        self._store.append(also, lock_wait=wait)\n",
        "tests/torture/test_rigs.py -k queue",
    ),
    Seed(
        "a refusal is stored whatever was done under the id meanwhile",
        "write_side/working.py",
        "lock_wait=self._handling.lock_wait, unless=unless)",
        "lock_wait=self._handling.lock_wait)",
        ONCE,
    ),
    Seed(
        "a stream's commands go on after one that has to wait",
        "write_side/working.py",
        "                if not done[-1]:\n                    break\n",
        "",
        WORKING,
    ),
    Seed(
        "whoever else is at a command is taken for dead",
        "attempts.py",
        "        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        "tests/storage/test_attempts.py",
    ),
    Seed(
        "two workers are at one stream's commands",
        "attempts.py",
        "                is_ours = False\n",
        "                pass\n",
        WORKING,
    ),
    Seed(
        "a condition is looked at before the lock is taken",
        "local.py",
        "        with self._locked(lock_wait) as lock_fd:\n            return self._append(lock_fd, writes, unless, once=once)\n",
        "        require_none(self, unless, end=self._head_if_any().position)\n        with self._locked(lock_wait) as lock_fd:\n            return self._append(lock_fd, writes, (), once=once)\n",
        "tests/torture/test_rigs.py -k unless",
    ),
)


def path_of(seed: Seed, root: Path) -> Path:
    """Return the path of a seed's file in the project at ``root``."""
    return root / "evcli" / (seed.file if "/" in seed.file else f"storage/{seed.file}")


def plant(seed: Seed, root: Path) -> None:
    """Apply a seed to the project at ``root``.

    Raises:
        LookupError: If the line it replaces is not there just once: the seed is stale.
    """
    path = path_of(seed, root)
    text = path.read_text()
    if text.count(seed.old) != 1:
        raise LookupError(f"{seed.name}: found {text.count(seed.old)} times in {seed.file}")
    path.write_text(text.replace(seed.old, seed.new))


def catch(seed: Seed, root: Path) -> str | None:
    """Run the seed's tests in a copy that has it; return the first that fails, or None."""
    plant(seed, root)
    words = re.findall(r"'[^']*'|\S+", seed.tests)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        *(word.strip("'") for word in words),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return found[1] if found else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.seeded", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a seed's name")
    given = parser.parse_args()
    missed = 0
    for seed in SEEDS:
        if given.names and not any(name in seed.name for name in given.names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for name in ("evcli", "tests", "sample_logs"):
                shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
                shutil.copy(ROOT / name, folder)
            caught = catch(seed, Path(folder))
        missed += caught is None
        print(f"{'caught' if caught else 'MISSED'}: {seed.name}: {caught or seed.tests}", flush=True)
    print(f"seeded: {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
