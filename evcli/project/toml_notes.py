"""What a TOML file says, noted in the cache as JSON: loading a parser of TOML and parsing takes longer than a query.

A note has a digest over evcli's version, the file's text and what it says, so it counts for these only, and only if it is
whole. A file that is wrong is not noted.
"""

import json
import os
from contextlib import suppress

from evcli import __version__
from evcli.light_typing import Any
from evcli.storage.digests import sha256
from evcli.storage.files import make_private_folder, replace_file


def recall(cache: str | None, path: str, text: str) -> dict[str, Any] | None:
    """Return what the file at ``path`` says, if that is noted for ``text``."""
    if cache is None:
        return None
    try:
        with open(_note(cache, path), "rb") as file:
            digest, _, noted = file.read().partition(b" ")
        if digest == _digest(text, noted):
            found: dict[str, Any] = json.loads(noted)
            return found
    except (OSError, ValueError):
        pass
    return None


def remember(cache: str | None, path: str, text: str, tables: dict[str, Any]) -> None:
    """Note what the file at ``path`` says, if JSON can say all of it: it has no dates and no NaN."""
    if cache is None:
        return
    with suppress(OSError, TypeError, ValueError):  # next time it is parsed again
        noted = json.dumps(tables, allow_nan=False, separators=(",", ":")).encode()
        note = _note(cache, path)
        make_private_folder(os.path.dirname(note))
        replace_file(note, _digest(text, noted) + b" " + noted, durable=False)


def _note(cache: str, path: str) -> str:
    return os.path.join(cache, "toml", sha256(os.fsencode(os.path.realpath(path))).hexdigest() + ".json")


def _digest(text: str, noted: bytes) -> bytes:
    said = text.encode()
    return sha256(b"%b %d\n%b%b" % (__version__.encode(), len(said), said, noted)).hexdigest().encode()
