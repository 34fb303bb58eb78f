"""Where things are in a store's directory, and how a store is made."""

import os
from collections.abc import Iterator
from contextlib import suppress

from evcli.domain.names import is_name
from evcli.errors import Damaged, Refused, StorageFailed, StoreNotFound
from evcli.light_typing import Final
from evcli.storage.files import close, open_file, read_at, replace_file, sync_directory, sync_tree_above

FORMAT: Final = 1
STORE_FILE: Final = "store.json"
JOURNAL_FILE: Final = "journal.jsonl"
LOCK_FILE: Final = "lock"
STREAMS: Final = "streams"
QUARANTINE: Final = "quarantine"
_SUFFIX: Final = ".jsonl"
_README: Final = (
    "This directory is an evcli store: a log of events, one JSON object a line, one file a stream, under streams/.\n"
    "journal.jsonl lists the commits in order. Read it with 'evcli log --store .' or any text tool; append to it only\n"
    "with evcli, which checks and seals every line. 'evcli verify --store .' checks it all; 'evcli help format'\n"
    "tells what each file holds. Back it up by copying the whole directory.\n"
)


def stream_path(stream: str) -> str:
    """Return the name of a stream's file in the store."""
    return f"{STREAMS}/{stream}{_SUFFIX}"


def find_streams(root: str, below: str = "") -> Iterator[str]:
    """Yield the names of the streams that have a file, in the order of their names; of those ``below`` a first part only.

    Files of other names are not looked at.

    Raises:
        Damaged: If there is a symbolic link.
    """
    yield from sorted(_walk(root, f"{STREAMS}/{below}" if below else STREAMS))


def _walk(root: str, folder: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(os.path.join(root, folder)))
    except FileNotFoundError:
        return
    for entry in entries:
        name = f"{folder}/{entry.name}"
        if entry.is_symlink():
            raise Damaged(
                name, 0, "it is a symbolic link", "put the file itself there: evcli follows no links in a store"
            )
        if entry.is_dir():
            yield from _walk(root, name)
        elif entry.name.endswith(_SUFFIX) and is_name(stream := name[len(STREAMS) + 1 : -len(_SUFFIX)]):
            yield stream


def check_case(root: str, stream: str) -> None:
    """Do nothing if a new stream's name differs from every existing one in more than case.

    It is looked at only where the file system cannot tell cases apart.

    Raises:
        Refused: If it does not.
    """
    folder = os.path.join(root, STREAMS)
    for part in (stream + _SUFFIX).split("/"):
        path, other = os.path.join(folder, part), os.path.join(folder, part.swapcase())
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        with suppress(FileNotFoundError):
            if other != path and os.path.samestat(found, os.lstat(other)) and part not in os.listdir(folder):
                raise Refused(
                    f"{stream!r} differs only in case from a stream that exists",
                    "use the name as it is in 'evcli streams'",
                )
        folder = path


def read_identity(root: str) -> str | None:
    """Return the store's id; None if no store was made here yet.

    Raises:
        Damaged: If ``store.json`` cannot be read.
        StorageFailed: If the store is of a format that this evcli does not know.
    """
    import json

    fd = open_file(root, STORE_FILE)
    if fd is None:
        return None
    try:
        text = read_at(fd, 64 << 10, 0)
    finally:
        close(fd)
    try:
        found = json.loads(text)
        form, identity = found["format"], found["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(STORE_FILE, 0, "it does not say what store this is") from error
    if form != FORMAT:
        raise StorageFailed(f"{root} is of format {form}; this evcli knows format {FORMAT}", "use a newer evcli")
    if not isinstance(identity, str) or not identity.replace("-", "").isalnum():
        raise Damaged(STORE_FILE, 0, "it does not say what store this is")
    return identity


def require_identity(root: str) -> str:
    """Return the store's id.

    Raises:
        StoreNotFound: If there is no store at ``root``.
    """
    identity = read_identity(root)
    if identity is not None:
        return identity
    if os.path.exists(os.path.join(root, JOURNAL_FILE)) and os.path.getsize(os.path.join(root, JOURNAL_FILE)):
        identity = read_identity(root)  # again: the first append may have made all of it since
        if identity is not None:
            return identity
        raise Damaged(STORE_FILE, 0, "it is missing")
    raise StoreNotFound(
        f"no store at {root}", "append to it to make it, or 'evcli init' to make one here; --store DIR names another"
    )


def make_store(root: str, *, now: str) -> None:
    """Make what is missing of an empty store in the existing directory ``root``, and make all of it durable.

    The directory and every one above it is synced too, whoever made them: an earlier writer may have died between
    making and syncing.

    Raises:
        OSError: If it cannot be made.
        SyncFailed: If it cannot be made durable.
    """
    import json
    import uuid

    if not _is_there(os.path.join(root, STORE_FILE)):
        identity = {"format": FORMAT, "id": str(uuid.uuid4()), "created": now}
        if not _is_there(os.path.join(root, "README")):
            replace_file(os.path.join(root, "README"), _README.encode(), durable=True)
        text = json.dumps(identity, separators=(",", ":")) + "\n"
        replace_file(os.path.join(root, STORE_FILE), text.encode(), durable=True)
    fd = open_file(root, JOURNAL_FILE, os.O_RDWR | os.O_CREAT)
    assert fd is not None
    close(fd)
    with suppress(FileExistsError):
        os.mkdir(os.path.join(root, STREAMS))
    sync_tree_above(root)


def _is_there(path: str) -> bool:
    """Say whether there is anything at ``path``; unlike ``os.path.lexists`` do not take a failure for a no."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def sync_stream_folders(root: str, stream: str) -> None:
    """Make the entries of every directory from a stream's file up to ``streams/`` durable."""
    folders = [STREAMS, *stream.split("/")[:-1]]
    for depth in range(len(folders), 0, -1):
        sync_directory(os.path.join(root, *folders[:depth]))
