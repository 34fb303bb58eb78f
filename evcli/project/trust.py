"""Trust: which directories' code may run. One small file per directory, in the user's state directory."""

import os
import stat
from collections.abc import Callable

from evcli.errors import NotFound, NotTrusted
from evcli.places import CONFIG_FILE
from evcli.storage.digests import sha256
from evcli.storage.files import make_private_folder, replace_file, sync_directory, sync_tree_above


def trust(directory: str, state_root: str) -> str:
    """Record, durably, that the code named by the ``evcli.toml`` in ``directory`` may run; return its real path.

    Directories below it are not included.

    Raises:
        NotFound: If there is no such directory.
        OSError: If it cannot be recorded.
        SyncFailed: If that cannot be made durable.
    """
    real = os.path.realpath(directory)
    if not _is(stat.S_ISDIR, real):
        raise NotFound(f"no directory {directory}", "name the directory that holds the evcli.toml")
    path = _record_of(real, state_root)
    make_private_folder(os.path.dirname(path))
    replace_file(path, os.fsencode(real), durable=True)
    sync_tree_above(os.path.dirname(path))
    return real


def has_config(directory: str) -> bool:
    """Say whether there is an ``evcli.toml`` in ``directory``.

    Raises:
        OSError: If that cannot be told.
    """
    return _is(stat.S_ISREG, os.path.join(directory, CONFIG_FILE))


def _is(kind: Callable[[int], bool], path: str) -> bool:
    """Say whether there is something of a kind; unlike ``os.path`` do not take a failure for a no."""
    try:
        return kind(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def distrust(directory: str, state_root: str) -> bool:
    """Take trust back, durably, also from a directory that is gone; return whether there was any.

    Raises:
        OSError: If it cannot be recorded.
        SyncFailed: If that cannot be made durable.
    """
    path = _record_of(os.path.realpath(directory), state_root)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_directory(os.path.dirname(path))
    return True


def is_trusted(directory: str, state_root: str) -> bool:
    """Say whether the code named by the ``evcli.toml`` in ``directory`` may run."""
    real = os.path.realpath(directory)
    return _read(_record_of(real, state_root)) == real


def trusted(state_root: str) -> list[str]:
    """Return the real paths of the trusted directories, sorted; some may be gone."""
    folder = os.path.join(state_root, "trust")
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = ((name, _read(os.path.join(folder, name))) for name in names)
    return sorted(path for name, path in found if path and _name_of(path) == name)


def require_trust(config_path: str, what: str, state_root: str | None) -> None:
    """Do nothing if the code that ``config_path`` names may run.

    Args:
        config_path: The ``evcli.toml``; the directory that holds it is the one to trust.
        what: The file or program that is about to run, for the message.
        state_root: Where trust is recorded; None where nothing is trusted.

    Raises:
        NotTrusted: If it may not.
    """
    directory = os.path.realpath(os.path.dirname(config_path) or ".")
    if state_root is not None and is_trusted(directory, state_root):
        return
    import shlex

    raise NotTrusted(
        f"{config_path} names code that is not trusted to run: {what}",
        f"read it, then allow it: evcli trust {shlex.quote(directory)}",
        directory=directory,
    )


def _record_of(real: str, state_root: str) -> str:
    return os.path.join(state_root, "trust", _name_of(real))


def _name_of(real: str) -> str:
    return sha256(os.fsencode(real)).hexdigest()


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return None
