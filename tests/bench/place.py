"""Where it is all measured: a directory on a real disk, the sizes, and stores that are made once and then kept."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from evcli.storage.network import NETWORK_TYPES, file_system
from tests.bench.events import DEPOSITS, LEDGER, VIEWS, write_events
from tests.bench.machine import cores
from tests.bench.running import SideFailed, peak, timed

STREAM: Final = "ledger"
_IN_MEMORY: Final = {"tmpfs", "ramfs", "devtmpfs"}
_BYTES_PER_EVENT: Final = 600
_SCRIPT: Final = "returns_at_once"


class Unfit(Exception):  # noqa: N818 (what the place is)
    """It cannot be measured there: the message says why."""


class Sizes(NamedTuple):
    """How many events each kind of figure takes; ``long`` is what was asked for, and the others follow from it."""

    long: int
    view: int
    fold: int
    bulk: int
    streams: int
    each: int
    single: int

    @classmethod
    def of(cls, events: int) -> "Sizes":
        """Work the sizes out from the number of events in the longest stream."""
        return cls(
            long=events,
            view=max(10_000, events // 10),
            fold=max(60_000, events // 20),
            bulk=max(20_000, events // 50),
            streams=min(1_000, max(100, events // 1_000)),
            each=max(100, events // 20_000),
            single=min(200, max(50, events // 1_000)),
        )


class Setting(NamedTuple):
    """A store with a cache, a state directory and a configuration of its own, and the environment that names them."""

    folder: Path
    env: dict[str, str]

    @property
    def stream_file(self) -> Path:
        """The file of the stream that single events go to."""
        return self.folder / f"store/streams/{STREAM}.jsonl"

    def notes(self) -> dict[str, float]:
        """Return what was written down when it was made."""
        found: dict[str, float] = json.loads((self.folder / "made.json").read_text())
        return found


class Bench:
    """The directory, the sizes, and what is made in it.

    Args:
        folder: Where everything is made; not in memory, nor on a network.
        events: How many events the longest stream has.
        say: What tells the user what is being made.

    Raises:
        Unfit: If the directory is not on a real, local disk, or that disk has no room.
    """

    def __init__(self, folder: Path, events: int, say: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.sizes = Sizes.of(events)
        self._say = say
        self.file_system = require_disk(folder)
        folder.mkdir(parents=True, exist_ok=True)
        require_room(folder, events)
        self.scratch = folder / "scratch"
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.cores = cores()
        self.env = _environment()

    def clear(self) -> None:
        """Remove what no other run can go on with."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def events_file(self, count: int, streams: int = 0) -> Path:
        """Return a file of the first ``count`` events as ``append --from`` takes them; make it if need be."""
        path = self.folder / f"events-{count}-{streams}.jsonl"
        if not path.exists():
            self._say(f"making {path.name}")
            part = path.with_suffix(".part")
            write_events(part, count, streams)
            part.rename(path)
        return path

    def setting(self, folder: Path) -> Setting:
        """Make the surroundings of a store in a new directory."""
        folder.mkdir(parents=True)
        (folder / "evcli.toml").write_text(VIEWS)
        (folder / "ledger.py").write_text(LEDGER)
        (folder / "deposits.py").write_text(DEPOSITS)
        (folder / "deposits_declared.py").write_text(f'types = ["money.deposited"]\n{DEPOSITS}')
        return self._setting(folder)

    def _setting(self, folder: Path) -> Setting:
        named = {f"EVCLI_{name.upper()}": str(folder / name) for name in ("store", "cache", "state")}
        return Setting(folder, self.env | named | {"EVCLI_CONFIG": str(folder / "evcli.toml")})

    @contextmanager
    def fresh(self) -> Iterator[Setting]:
        """Give a setting without a store, which is gone after the block."""
        folder = self.scratch / "fresh"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield self.setting(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def store(self, count: int, streams: int = 0, *, anew: bool = False) -> Setting:
        """Return a store of the first ``count`` events, in one stream or spread over several; make it if need be, or ``anew``.

        What making it took is in its notes: ``seconds``, and ``peak``, the most bytes of memory.

        Raises:
            SideFailed: If it cannot be made.
        """
        folder = self.folder / f"store-{count}-{streams}"
        if anew or not (folder / "made.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            source = self.events_file(count, streams)
            self._say(f"making {folder.name}")
            made = self.setting(folder)
            command = [evcli(), "append", *([] if streams else [STREAM]), "--from", str(source), "-q"]
            most, seconds = peak(command, made.env)
            if count > self.sizes.view:
                source.unlink()  # a large file, and quickly made again
            (folder / "made.json").write_text(json.dumps({"peak": most, "seconds": seconds}))
        return self._setting(folder)

    def view(self, setting: Setting, name: str) -> Setting:
        """Bring a view of a store up to date.

        Raises:
            SideFailed: If it cannot be folded.
        """
        self._say(f"folding view {name} of {setting.folder.name}")
        timed([evcli(), "query", "get", name, "no such row"], setting.env, codes=(0, 4))
        return setting

    def script(self) -> str:
        """Return the path of a console script that returns at once, made as the environment's own ones are.

        Its module lies beside it, where Python looks first, so that it is found at least as fast as an installed one.

        Raises:
            SideFailed: If evcli's own script is no Python text that could be copied.
        """
        path = self.folder / _SCRIPT
        text = Path(evcli()).read_text()
        ours = text.replace("from evcli.cli.main import main", f"from {_SCRIPT}_module import main")
        if ours == text:
            raise SideFailed("evcli is not installed as a console script of this environment")
        (self.folder / f"{_SCRIPT}_module.py").write_text("def main() -> int:\n    return 0\n")
        path.write_text(ours)
        path.chmod(0o755)
        return str(path)


def evcli() -> str:
    """Return the path of evcli's script in this environment.

    Raises:
        SideFailed: If it is not installed here.
    """
    path = Path(sys.executable).parent / "evcli"
    if not path.exists():
        raise SideFailed("evcli is not installed in this environment: pip install -e '.[bench]'")
    return str(path)


def require_disk(folder: Path) -> str:
    """Return the type of the file system that a directory is on, or will be.

    Raises:
        Unfit: If it is in memory or on a network, or if nobody can tell.
    """
    kind = file_system(os.path.realpath(folder)) or _ask_the_system(folder)
    if kind is None:
        raise Unfit(f"it cannot be told what file system {folder} is on; give another directory with --dir")
    if kind in _IN_MEMORY or kind in NETWORK_TYPES:
        raise Unfit(
            f"{folder} is on {kind}, where durability costs nothing, or something else; give another with --dir"
        )
    return kind


def require_room(folder: Path, events: int) -> None:
    """Do nothing if there is room for everything that is made of so many events: 600 bytes for each.

    Raises:
        Unfit: If there is not.
    """
    there = next(folder.glob(f"store-{events}-0/made.json"), None)
    free = shutil.disk_usage(folder).free
    if there is None and free < events * _BYTES_PER_EVENT:
        needed = events * _BYTES_PER_EVENT / 1e9
        raise Unfit(f"{folder} has {free / 1e9:.1f} GB free, and {needed:.1f} GB may be needed; ask for fewer --events")


def _ask_the_system(folder: Path) -> str | None:
    """Ask stat(1) of macOS, where there is no /proc."""
    if sys.platform != "darwin":
        return None
    there = next(path for path in (folder, *folder.parents) if path.exists())
    done = subprocess.run(["/usr/bin/stat", "-f", "%T", str(there)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("EVCLI_", "XDG_", "PYTHON", "UMADB_"))
    }
    kept.pop("TRACEPARENT", None)
    return kept | {"LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
