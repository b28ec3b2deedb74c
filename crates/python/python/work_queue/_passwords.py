"""Passwords of that system as keys of ours."""

from __future__ import annotations

import hashlib

from muster import _places
from muster._core import make_authority

#: Memory and time that it takes to try one password: 64 MiB and a quarter of a second (RFC 7914).
_COST = {"n": 1 << 16, "r": 8, "p": 1, "maxmem": 128 << 20}


def keys(password: str | bytes) -> str:
    """The directory of the authority that belongs to a password; whoever has the password has the same.

    The password itself is kept nowhere. It should not be one that can be guessed: who sees a certificate can try
    passwords, at the cost of scrypt for each.
    """
    secret = password.encode() if isinstance(password, str) else bytes(password)
    secret = secret.strip()
    if not secret:
        raise ValueError("the password is empty")
    derived = hashlib.scrypt(secret, salt=b"muster: password of work_queue", dklen=48, **_COST)
    directory = _places.state() / "passwords" / derived[32:40].hex()
    make_authority(str(directory), derived[:32])
    return str(directory)
