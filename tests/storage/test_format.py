"""The format on disk, byte for byte, checked with tools that know nothing of evcli."""

import json
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evcli.domain.events import Write
from evcli.errors import StorageFailed
from evcli.storage import local
from evcli.storage.codec import input_line
from evcli.storage.local import LocalStore
from tests.storage.building import contents, event, write

NOON = "2026-11-23T12:00:00.000001Z"
ZEROS = "0" * 64


@pytest.fixture
def store(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.setattr(local, "now", lambda: NOON)
    return LocalStore(str(store_path))


def digest(*parts: str | bytes) -> str:
    return sha256(b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)).hexdigest()


def front(position: int, stream: str, version: int, time: str = NOON) -> str:
    return f'{{"position":{position},"stream":"{stream}","version":{version},"time":"{time}","type":"tested","data":'


def test_one_event_is_one_line_in_stream_and_journal(store: LocalStore, store_path: Path) -> None:
    given = b'{"type":"tested","id":"k-91","meta":{"actor":"ann"},"data":{"amount":10.00},"v":2,"time":"2025-01-01T01:00:00+01:00"}'
    store.append([Write("accounts/ann", [input_line(given).event])])
    body = (
        front(1, "accounts/ann", 1, "2025-01-01T00:00:00.000000Z")
        + f'{{"amount":10.00}},"meta":{{"actor":"ann"}},"id":"k-91","recorded":"{NOON}","v":2'
    )
    seal = digest(ZEROS, body)
    line = f'{body},"seal":"{seal}"}}\n'
    assert (store_path / "streams/accounts/ann.jsonl").read_text() == line
    journal = (
        f'{{"position":1,"count":1,"time":"{NOON}","writes":[{{"stream":"accounts/ann","version":1,"count":1,'
        f'"offset":0,"length":{len(line)},"seal":"{seal}"}}]'
    )
    head = digest(ZEROS, journal)
    assert (store_path / "journal.jsonl").read_text() == f'{journal},"hash":"{head}"}}\n'
    mark = f"{1:020d}:{head}:"
    assert (store_path / "lock").read_text() == f"{mark}{digest(mark)[:8]}\n"


def test_a_commit_is_sealed_on_its_last_line_over_all_its_bytes(store: LocalStore, store_path: Path) -> None:
    store.append([write("a", 0)])
    path = store_path / "streams/a.jsonl"
    before = path.read_text()
    first = json.loads(before)["seal"]
    store.append([write("b", 5), write("a", 1, 2)])
    body = front(3, "a", 2) + "1}\n" + front(4, "a", 3) + '2,"commit":[2,3]'
    seal = digest(first, body)
    assert path.read_text() == f'{before}{body},"seal":"{seal}"}}\n'
    other = front(2, "b", 1) + '5,"commit":[2,3]'
    other_seal = digest(ZEROS, other)
    assert (store_path / "streams/b.jsonl").read_text() == f'{other},"seal":"{other_seal}"}}\n'
    lines = (store_path / "journal.jsonl").read_text().splitlines()
    journal = (
        f'{{"position":2,"count":3,"time":"{NOON}","writes":['
        f'{{"stream":"b","version":1,"count":1,"offset":0,"length":{len(other) + 76},"seal":"{other_seal}"}},'
        f'{{"stream":"a","version":2,"count":2,"offset":{len(before)},"length":{len(body) + 76},"seal":"{seal}"}}]'
    )
    assert lines[1] == f'{journal},"hash":"{digest(json.loads(lines[0])["hash"], journal)}"}}'


def test_type_and_id_are_written_as_shortest_json_and_stay_on_their_line(store: LocalStore, store_path: Path) -> None:
    odd = 'é"\\\n\0\x1b\u2028'
    store.append([Write("a", [event(1, id=odd)._replace(type=odd)])])
    text = (store_path / "streams/a.jsonl").read_bytes()
    assert '"type":"é\\"\\\\\\n\\u0000\\u001b\u2028","data":1,"id":"é'.encode() in text
    assert text.count(b"\n") == 1
    assert b"\0" not in text
    assert json.loads(text)["id"] == odd


def test_a_new_store_says_what_it_is(store: LocalStore, store_path: Path) -> None:
    store.append([write("a")])
    assert sorted(contents(store_path)) == ["README", "journal.jsonl", "lock", "store.json", "streams/a.jsonl"]
    text = (store_path / "store.json").read_text()
    assert re.fullmatch(r'\{"format":1,"id":"[0-9a-f-]{36}","created":"' + NOON + r'"\}\n', text)
    assert json.loads(text)["id"] == store.id
    assert "evcli" in (store_path / "README").read_text()


def test_a_readme_that_was_there_is_kept(store: LocalStore, store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "README").write_text("mine")
    store.append([write("a")])
    assert (store_path / "README").read_text() == "mine"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum program here")
def test_the_sha256sum_program_finds_the_same_seals_and_hashes(store: LocalStore, store_path: Path) -> None:
    store.append([write("a", 1)])
    store.append([write("a", 2)])
    for name, key in (("streams/a.jsonl", "seal"), ("journal.jsonl", "hash")):
        script = f"""
            previous={ZEROS}
            while IFS= read -r line; do
                body=${{line%,\\"{key}\\":*}}
                found=$(printf '%s%s' "$previous" "$body" | sha256sum | cut -d ' ' -f 1)
                case $line in *"$found\\"}}") previous=$found ;; *) exit 1 ;; esac
            done < "$1"
        """
        subprocess.run(["sh", "-c", script, "sh", str(store_path / name)], check=True)


def commits_of(text: bytes) -> list[list[bytes]]:
    """Split a stream's file into its commits, by the lines that carry a seal."""
    commits: list[list[bytes]] = [[]]
    for line in text.splitlines(keepends=True):
        commits[-1].append(line)
        if "seal" in json.loads(line):
            commits.append([])
    assert commits.pop() == []
    return commits


def rebuild_journal(root: Path) -> bytes:
    """Write the journal anew from the streams alone."""
    commits: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    times: dict[int, str] = {}
    for path in root.glob("streams/**/*.jsonl"):
        offset = 0
        for lines in commits_of(path.read_bytes()):
            first, last = json.loads(lines[0]), json.loads(lines[-1])
            length = sum(map(len, lines))
            start = last.get("commit", [first["position"]])[0]
            part = {"stream": first["stream"], "version": first["version"], "count": len(lines)}
            part |= {"offset": offset, "length": length, "seal": last["seal"]}
            commits.setdefault(start, []).append((first["position"], part))
            times[start] = last.get("recorded", last["time"])
            offset += length
    journal, previous = b"", ZEROS
    for start in sorted(commits):
        parts = [part for _, part in sorted(commits[start], key=lambda found: found[0])]
        head = {"position": start, "count": sum(part["count"] for part in parts), "time": times[start], "writes": parts}
        body = json.dumps(head, separators=(",", ":"))[:-1]
        previous = digest(previous, body)
        journal += f'{body},"hash":"{previous}"}}\n'.encode()
    return journal


WRITES = st.dictionaries(st.sampled_from(["a", "b", "c/d", "c"]), st.integers(1, 3), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=st.lists(WRITES, min_size=1, max_size=6))
def test_the_journal_can_be_rebuilt_from_the_streams(
    commits: list[dict[str, int]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path_factory.mktemp("rebuilt")
    store = LocalStore(str(root))
    imported, usual = event("é", time="2020-01-01T00:00:00Z"), event(1)
    known: set[str] = set()
    for minute, counts in enumerate(commits):
        monkeypatch.setattr(local, "now", lambda at=minute: f"2026-11-23T12:{at:02d}:00.000000Z")
        store.append([Write(stream, [usual if stream in known else imported] * counts[stream]) for stream in counts])
        known |= counts.keys()
    assert rebuild_journal(root) == (root / "journal.jsonl").read_bytes()
    assert store.verify().commits == len(commits)


def test_a_store_of_another_format_is_neither_read_nor_written(store: LocalStore, store_path: Path) -> None:
    store.append([write("a")])
    about = json.loads((store_path / "store.json").read_text()) | {"format": 2}
    (store_path / "store.json").write_text(json.dumps(about))
    before = contents(store_path)
    later = LocalStore(str(store_path))
    with pytest.raises(StorageFailed, match="format 2"):
        later.append([write("a")])
    with pytest.raises(StorageFailed, match="format 2"):
        later.head()
    assert contents(store_path) == before
