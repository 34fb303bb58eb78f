"""The README's sessions are run as they stand, on a terminal, and print what they say they print.

Blocks fenced as ``console`` are typed into one shell, in order; blocks whose first line is a comment with a file's
name are that file. What differs from run to run (times, hashes, where the home directory is) is masked on both sides;
equal hashes stay equal. ``EVCLI_UPDATE=1`` writes what was printed into the README.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from evcli.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
HOME_SHOWN = "/home/ann"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.(?:py|sh|toml))\b")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{6}Z)?")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class Step(NamedTuple):
    """What is typed, and where in the document its output stands; a file to write has no place."""

    command: str
    place: tuple[int, int] | None


def read_steps(document: str) -> Iterator[Step]:
    """Yield the steps of a document's sessions, in order."""
    for block in _FENCE.finditer(document):
        name = _FILE.match(block[2])
        if block[1] == "console":
            yield from _read_console(block[2], block.start(2))
        elif name:
            yield Step(f"cat > {name[1]} <<'END_OF_FILE'\n{block[2]}END_OF_FILE", None)


def _read_console(text: str, at: int) -> Iterator[Step]:
    prompts = list(re.finditer(r"^\$ (.*(?:\n> .*)*)\n", text, re.MULTILINE))
    assert prompts, "a console block begins with a prompt"
    assert prompts[0].start() == 0, "a console block begins with a prompt"
    ends = [prompt.start() for prompt in prompts[1:]] + [len(text)]
    for prompt, end in zip(prompts, ends, strict=True):
        yield Step(prompt[1].replace("\n> ", "\n"), (at + prompt.end(), at + end))


def isolated(home: Path) -> dict[str, str]:
    """Return an environment in which evcli has never been used."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EVCLI_", "XDG_"))}
    path = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath)))
    return kept | {"HOME": str(home), "PATH": path, "TZ": "UTC", "NO_COLOR": "1", "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def run_on_terminal(
    script: str, home: Path, env: Mapping[str, str], *, columns: int = 200, timeout: float = 120
) -> str:
    """Run a shell script with a terminal for its output, and return what it printed there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in env.items() if key != "COLUMNS"}
    with subprocess.Popen(
        ["sh", "-c", script], cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as shell:
        os.close(theirs)
        printed = b""
        deadline = time.monotonic() + timeout
        while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                new = os.read(ours, 65536)
            except OSError:  # what Linux says once the last writer has closed a terminal
                break
            if not new:
                break
            printed += new
        else:
            shell.kill()
            pytest.fail(f"the session did not end; it printed {printed.decode()!r}")
        os.close(ours)
    return _COLOR.sub("", printed.decode().replace("\r\n", "\n"))  # jq's: its older versions heed no NO_COLOR


def run_steps(steps: list[Step], home: Path, *, columns: int = 200) -> list[str]:
    """Type all steps into one shell, and return what each of them printed."""
    ended = "@@ that was step {} @@"
    script = "\n".join(
        f"{step.command}\ncode=$?; echo '{ended.format(number)}'; (exit $code)" for number, step in enumerate(steps)
    )
    rest = run_on_terminal(script, home, isolated(home), columns=columns).replace(str(home), HOME_SHOWN)
    outputs = []
    for number in range(len(steps)):
        output, _, rest = rest.partition(ended.format(number) + "\n")
        outputs.append(output)
    return outputs


def mask(texts: list[str]) -> list[str]:
    """Replace what differs from run to run; the first hash becomes ``<hash 1>`` wherever it stands, and so on."""
    hashes: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return hashes.setdefault(found[0], f"<hash {len(hashes) + 1}>")

    return [_HASH.sub(number, _INSTANT.sub("<time>", text)) for text in texts]


def test_the_sessions_print_what_the_readme_shows(tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    document = README.read_text()
    steps = list(read_steps(document))
    home = tmp_path.resolve() / "ann"
    shutil.copytree(ROOT / "sample_logs", home / "evcli/sample_logs")
    outputs = run_steps(steps, home)
    pairs = [(step, output) for step, output in zip(steps, outputs, strict=True) if step.place]
    shown = [document[slice(*step.place)] for step, _ in pairs if step.place]
    if os.environ.get("EVCLI_UPDATE") and mask(shown) != mask([output for _, output in pairs]):
        for step, output in reversed(pairs):
            assert step.place
            document = document[: step.place[0]] + output + document[step.place[1] :]
        README.write_text(document)
        return
    commands = [step.command for step, _ in pairs]
    printed = mask([output for _, output in pairs])
    assert list(zip(commands, printed, strict=True)) == list(zip(commands, mask(shown), strict=True))


def test_the_two_commands_to_copy_stand_alone_on_one_line_each() -> None:
    first, second = [block[2] for block in _FENCE.finditer(README.read_text()) if block[1] == "sh"][:2]
    assert first.count("\n") == second.count("\n") == 1
    assert first.startswith("python3 -m venv")
    assert first.endswith("sh sample_logs/tour.sh\n")
    assert second.startswith("python3 -m venv")
    assert "pytest" in second


def test_every_command_is_in_the_readme() -> None:
    document = README.read_text()
    assert [command.words for command in COMMANDS if f"`evcli {command.words}`" not in document] == []


def test_masking_keeps_what_is_equal_equal() -> None:
    one, other = "0" * 64, "a" * 64
    assert mask([f"4:{one} {other}", one]) == ["4:<hash 1> <hash 2>", "<hash 1>"]
    assert mask(["at 2026-11-23T09:12:44.102938Z, 2026-11-23 09:12:44"]) == ["at <time>, <time>"]
    assert mask(["version 3, 2026-11-23"]) == ["version 3, 2026-11-23"]
