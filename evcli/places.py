"""Where things are: the store, its ``evcli.toml``, caches and state, found from options, environment and directory."""

import os
import sys
from collections.abc import Callable, Mapping

from evcli.errors import BadConfig, Usage
from evcli.light_typing import Final, Literal

STORE_FOLDER: Final = ".evcli"
CONFIG_FILE: Final = "evcli.toml"
_IDENTITY: Final = "store.json"
_APP: Final = "evcli"
_XDG: Final = {
    "data": ("XDG_DATA_HOME", ".local/share"),
    "config": ("XDG_CONFIG_HOME", ".config"),
    "state": ("XDG_STATE_HOME", ".local/state"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
}
"""The variables of the XDG Base Directory Specification, and what stands for them below the home directory."""


def find_store(option: str | None, env: Mapping[str, str], cwd: str) -> str:
    """Return the absolute path of the store, which need not exist yet.

    It is the one that ``option`` or ``EVCLI_STORE`` names (itself, or by a directory holding its ``.evcli``), else the
    nearest ``.evcli`` from ``cwd`` upwards, else the user's data directory.

    Raises:
        Usage: If ``option`` is empty: it was meant to name a store, and must not fall through to another one.
    """
    if option == "":
        raise Usage("--store is empty", "name the store's directory, as in --store ./books")
    named = option or env.get("EVCLI_STORE")
    if named:
        root = os.path.normpath(os.path.join(cwd, named))
        inner = os.path.join(root, STORE_FOLDER)
        return inner if os.path.isdir(inner) and not os.path.exists(os.path.join(root, _IDENTITY)) else root
    return _find_upwards(os.path.abspath(cwd), STORE_FOLDER, os.path.isdir) or user_folder("data")


def find_config(option: str | None, env: Mapping[str, str], store: str, *, near: str | None = None) -> str | None:
    """Return the absolute path of the ``evcli.toml`` in effect; None if there is none.

    It is the one that ``option`` or ``EVCLI_CONFIG`` names, else (for what needs no store) the nearest one from the
    directory ``near`` upwards, else the one in the directory ``store``, else the one beside it when it is a ``.evcli``,
    else the one in the user's configuration directory.

    Raises:
        BadConfig: If the file that is named is not there. (Exit code 4 would look like a missing stream.)
        Usage: If ``option`` is empty.
    """
    if option == "":
        raise Usage("--config is empty", "name the file, as in --config ./evcli.toml")
    named = option or env.get("EVCLI_CONFIG")
    if named:
        if not os.path.exists(named) or os.path.isdir(named):
            raise BadConfig(
                named, 0, "", f"{'--config' if option else 'EVCLI_CONFIG'} names it, and there is no such file"
            )
        return os.path.abspath(named)
    if near is not None and (found := _find_upwards(os.path.abspath(near), CONFIG_FILE, os.path.isfile)):
        return found
    folders = [store]
    if os.path.basename(store) == STORE_FOLDER:
        folders.append(os.path.dirname(store))
    for folder in folders:
        path = os.path.abspath(os.path.join(folder, CONFIG_FILE))
        if os.path.isfile(path):
            return path
    path = os.path.join(user_folder("config"), CONFIG_FILE)
    return path if os.path.isfile(path) else None


def cache_root(env: Mapping[str, str]) -> str:
    """Return the directory of the caches: ``EVCLI_CACHE``, else the user's cache directory; it may not exist yet."""
    if named := env.get("EVCLI_CACHE"):
        return os.path.abspath(named)
    return user_folder("cache")


def state_root(env: Mapping[str, str]) -> str:
    """Return the directory of what must outlive a cache: ``EVCLI_STATE``, else the user's state directory."""
    if named := env.get("EVCLI_STATE"):
        return os.path.abspath(named)
    return user_folder("state")


def _find_upwards(folder: str, name: str, is_there: Callable[[str], bool]) -> str | None:
    while True:
        found = os.path.join(folder, name)
        if is_there(found):
            return found
        if folder == os.path.dirname(folder):
            return None
        folder = os.path.dirname(folder)


def user_folder(kind: Literal["data", "config", "state", "cache"]) -> str:
    """Return evcli's folder among the user's own, as the platform has it.

    Where that is plain (Linux, with usual variables) it goes without platformdirs, whose import takes longer than a query.
    """
    if sys.platform == "linux" and "ANDROID_DATA" not in os.environ:
        variable, below = _XDG[kind]
        named, home = os.environ.get(variable), os.environ.get("HOME", "")
        if named is None and home.startswith("/") and not home.endswith("/"):
            return f"{home}/{below}/{_APP}"
        if named is not None and named.startswith("/") and named == named.strip():
            return os.path.join(named, _APP)
    import platformdirs

    found: str = getattr(platformdirs, f"user_{kind}_dir")(_APP, appauthor=False)
    return found
