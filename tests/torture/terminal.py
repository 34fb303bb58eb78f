"""What reaches a real terminal, byte by byte, whatever the events, names and arguments hold.

Every output for people is printed on a pseudo-terminal, by commands that meet hostile texts: as data, types, meta and
ids of events, in names of streams, files, directories, commands and options. In a pipe, the stored lines come exactly.
"""

import contextlib
import json
import os
import pty
import re
import sys
import termios
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from evcli.cli.main import run as run_evcli
from evcli.domain.events import Write
from evcli.storage.codec import new_event
from evcli.storage.local import LocalStore
from tests.torture.forking import side_by_side, without_syncs
from tests.torture.rig import Figures, Rig, Tier

C0: Final = "".join(map(chr, range(0x20)))
C1: Final = "".join(map(chr, range(0x80, 0xA0)))
BIDI: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HOSTILE: Final = (
    C0,
    "\x7f" + C1,
    BIDI + "\u2028\u2029",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9d52;c;ZXZpbA==\x9c",
    '\x1bP$q"p\x1b\\',
    "\x90+q544e\x9c",
    "\x1b[2J\x1b[H\x1b[6n\x1b[5m\x1b[38;5;201m",
    "\x9b2J\x9b38;5;201m",
    "\x1bc\x1b(0\x1b#8\x1b[?1049h",
    "\r\nevcli: all is well\r\x1b[Kover",
    "\b\b\b\x0e\x0f\a\v\f",
    "[bold red]x[/] [link=http://example.com]y[/link] [/] :smile: \\[z]",
    "\x1b" * 40,
    "admin\u202etxt.exe",
    "e\u0301" * 20 + "\ud55c\uae00" * 20,
    "%s %d {0} {x} $HOME `id`",
)
MODES: Final[dict[str, tuple[bool, dict[str, str]]]] = {
    "tty": (True, {}),
    "tty, NO_COLOR": (True, {"NO_COLOR": "1"}),
    "tty, TERM=dumb": (True, {"TERM": "dumb"}),
    "tty, forced colour": (True, {"FORCE_COLOR": "1"}),
    "pipe": (False, {}),
    "pipe, forced colour": (False, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}),
    "pipe, NO_COLOR": (False, {"NO_COLOR": "1"}),
    "pipe, TERM=dumb": (False, {"TERM": "dumb"}),
}
_FORMATS: Final = ("table", "json", "jsonl", "csv", "raw")
_OWN_SGR: Final = re.compile(rb"\x1b\[(?:0|1|2|31|33|36)m")
_FORBIDDEN: Final = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f{C1}{BIDI}]")
_MEGABYTE: Final = 100_000  # characters; six bytes each once they are spelled


class Shown(NamedTuple):
    """What a command wrote: to standard output, and to standard error, which is a terminal."""

    words: list[str]
    out: bytes
    err: bytes


def make_store(root: Path) -> Path:
    """Store the hostile texts everywhere in events, and a line of a megabyte."""
    store = root / "store"
    writes = []
    for number, text in enumerate(HOSTILE):
        members = {"type": text, "data": {text: [text, {"x": text}]}, "meta": {"actor": text, text: text}, "id": text}
        writes.append(Write(f"s{number % 3}", [new_event(members)]))
    for write in writes:
        LocalStore(str(store)).append([write])
    LocalStore(str(root / "long")).append(
        [Write("long", [new_event({"type": "t" * 100_000, "data": "\x1b\x9b" * _MEGABYTE})])]
    )
    LocalStore(str(store)).append([Write("text", [new_event({"type": "t", "data": text}) for text in HOSTILE])])
    return store


def commands(root: Path, store: str) -> Iterator[list[str]]:
    """Give every command that prints something for people: over the store's events, and over each hostile text."""
    there = ["--store", store]
    for form in (None, *_FORMATS):
        given = [*there, *(["-o", form] if form else [])]
        yield [*given, "log"]
        yield [*given, "log", "--reverse", "--type", "*"]
        yield [*given, "streams"]
        yield [*given, "replay"]
        for reducer in ("merge", "list", "last"):
            yield [*given, "replay", "s0", "--reducer", reducer]
            yield [*given, "query", "state", "s1", "--reducer", reducer, "--with-version"]
        yield [*given, "query", "state", "text", "/0", "--reducer", "list"]
        yield [*given, "verify"]
        yield [*given, "checkpoint"]
        yield ["--store", str(root / "long"), *given[2:], "log"]
    for words in (["query", "state", "long", "--reducer", "last"], ["replay", "long"], ["log", "-o", "table"]):
        yield ["--store", str(root / "long"), *words]
    for number, text in enumerate(text for text in HOSTILE if "\0" not in text):
        yield from _with_text(there, root, number, text)
    yield from _with_text(there, root, len(HOSTILE), C0[1:])
    yield ["--help"]
    yield ["log", "--help"]
    yield ["help", "format"]


def _with_text(there: list[str], root: Path, number: int, text: str) -> Iterator[list[str]]:
    """Give commands that repeat a hostile argument: in errors, receipts, plans and notes."""
    form = _FORMATS[number % len(_FORMATS)]
    yield [*there, "log", text]
    yield [*there, "-o", "json", "log", text]
    yield [*there, "replay", "s0", "--until", text]
    yield [*there, "query", "state", "s0", text]
    yield [*there, "query", "state", "s0", "/" + text]
    yield [*there, "replay", "s0", "--reducer", text]
    yield [*there, "append", "r", text, json.dumps({"k": text}), "--dry-run"]
    yield [*there, "-o", form, "append", "r", text, json.dumps({"k": text}), "--dry-run", "--actor", text]
    yield [*there, "append", "r", text, f"k={text}", "--meta", f"m={text}"]
    yield [*there, "-o", form, "append", "r", text, "--print", "stream"]
    yield [*there, "append", "r", "t", text]
    yield [*there, "append", "r", "t", "--id", text]
    yield [*there, "append", "r", "t", '{"other":1}', "--id", text]
    yield [*there, "append", "r", "t", "--expect", text]
    yield [*there, "append", "r", "t", "--print", text]
    yield [*there, "append", "--from", text]
    yield ["help", text]
    yield [text]
    yield ["log", "--" + text]
    yield ["-o", text, "log"]
    yield ["--color", text, "log"]
    yield ["--config", text, *there, "log"]
    odd = str(root / f"{number}-{text.replace('/', '')[:60]}")
    yield ["--store", odd, "log"]
    yield ["--store", odd, "append", "a", "t"]
    yield ["--store", odd, "streams"]
    yield ["init", odd]
    yield ["trust", odd]


def look(root: Path, figures: Figures, *, mode: str) -> None:
    """Run every command in one mode, and judge each byte that it wrote."""
    on_terminal, environment = MODES[mode]
    without_syncs()
    os.environ.pop("FORCE_COLOR", None)
    os.environ.update({"TERM": "xterm-256color", **environment, "HOME": str(root), "EVCLI_CACHE": str(root / "cache")})
    plain = "NO_COLOR" in environment or environment.get("TERM") == "dumb"
    store = make_store(root)
    lines = (store / "streams/s0.jsonl").read_bytes()
    os.chdir(root)
    for words in commands(root, str(store)):
        shown = show(words, on_terminal=on_terminal)
        figures.states += 1
        for problem in _judge(shown, on_terminal=on_terminal, plain=plain):
            figures.find("exceptions", f"{mode}: evcli {ascii(words)[:200]}: {problem}")
    for form in (None, "jsonl", "raw"):
        shown = show(["--store", str(store), *(["-o", form] if form else []), "log", "s0"], on_terminal=on_terminal)
        figures.states += 1
        if not on_terminal and shown.out != lines:
            figures.find("lost", f"{mode}: log -o {form} in a pipe is not what is stored")


def _judge(shown: Shown, *, on_terminal: bool, plain: bool) -> Iterator[str]:
    seen = [shown.err]
    form = shown.words[shown.words.index("-o") + 1] if "-o" in shown.words[:-1] else None
    if on_terminal or form == "table":
        seen.append(shown.out)
    for text in seen:
        rest = text if plain else _OWN_SGR.sub(b"", text)
        try:
            found = _FORBIDDEN.search(rest.decode())
        except UnicodeDecodeError as error:
            yield f"not UTF-8: {error}"
            continue
        if found:
            yield f"{found[0]!a} in {rest.decode()[max(0, found.start() - 30) : found.end() + 30]!a}"
    if b"Traceback" in shown.err or b"a bug in evcli" in shown.err:
        yield f"a bug: {shown.err!r}"
    if re.search(rb"^evcli: all is well", shown.err, re.MULTILINE):
        yield f"a line that evcli did not say: {shown.err!r}"


def show(words: list[str], *, on_terminal: bool) -> Shown:
    """Run evcli in this process with a terminal as standard error, and a terminal or a pipe as standard output."""
    kept = sys.stdout, sys.stderr
    with _gathering(on_terminal=on_terminal) as out, _gathering(on_terminal=True) as err:
        sys.stdout, sys.stderr = out.file, err.file
        try:
            run_evcli(words)
        finally:
            sys.stdout, sys.stderr = kept
    return Shown(words, bytes(out.text), bytes(err.text))


class _Gathered(NamedTuple):
    """The writing end of a terminal or pipe, and what has come out of the other."""

    file: TextIO
    text: bytearray


@contextlib.contextmanager
def _gathering(*, on_terminal: bool) -> Iterator[_Gathered]:
    near, far = pty.openpty() if on_terminal else os.pipe()
    if on_terminal:
        termios.tcsetwinsize(far, (24, 100))
    gathered = _Gathered(open(far, "w", encoding="utf-8", errors="backslashreplace"), bytearray())  # noqa: SIM115 (closed below)

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while text := os.read(near, 1 << 16):
                gathered.text.extend(text)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield gathered
    finally:
        gathered.file.close()
        reader.join()
        os.close(near)


def run(_tier: Tier) -> Figures:
    """Look at everything in every mode, in either tier, two modes at a time."""
    figures = Figures()
    for modes in zip(*[iter(MODES)] * 2, strict=True):
        side_by_side(figures, [partial(look, mode=mode) for mode in modes], in_memory=True)
    return figures


RIG = Rig("terminal", run)
