"""SHA-256 (FIPS 180-4): OpenSSL's for much, the interpreter's own for little, since loading OpenSSL takes longer than that."""

import sys
from collections.abc import Callable

from evcli.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

_own: "Callable[[bytes], _Hash] | None"
try:
    if sys.version_info >= (3, 12):
        from _sha2 import sha256 as _own  # type: ignore[import-not-found, no-redef]
    else:
        from _sha256 import sha256 as _own  # type: ignore[import-not-found, no-redef]
except ImportError:
    _own = None  # some distributions build Python without it

_LITTLE: Final = 64 << 10


def hasher(size: int) -> "Callable[[bytes], _Hash]":
    """Return what digests about ``size`` bytes soonest."""
    if _own is not None and size <= _LITTLE:
        return _own
    from hashlib import sha256

    return sha256


def sha256(data: bytes) -> "_Hash":
    """Digest bytes."""
    return hasher(len(data))(data)
