"""Sizes and times as people write them."""

from __future__ import annotations

import re
from typing import Union

Size = Union[int, float, str]
Seconds = Union[int, float, str]

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}
_SPANS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def size(value: Size, name: str) -> int:
    """Bytes: a number of them, or a text such as ``"2 GB"`` or ``"512MiB"``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{name} is a number of bytes or a text such as '2 GB', not {type(value).__name__}")
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?)b?\s*", value.lower())
        if match is None or match[2] not in _UNITS:
            raise ValueError(f"{name}: {value!r} is no size; write a number of bytes, '512 MiB' or '2 GB'")
        value = float(match[1]) * _UNITS[match[2]]
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{name} is not below zero and fits 63 bits")
    return int(value)


def seconds(value: Seconds, name: str) -> float:
    """Seconds: a number of them, or a text such as ``"90 min"``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{name} is a number of seconds or a text such as '90 min', not {type(value).__name__}")
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", value.lower())
        if match is None or match[2] not in _SPANS:
            raise ValueError(f"{name}: {value!r} is no time; write a number of seconds, '90 min' or '2 h'")
        value = float(match[1]) * _SPANS[match[2]]
    if not 0 < value < 1e12:
        raise ValueError(f"{name} is more than zero")
    return float(value)


def whole(value: int, name: str, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name} is from {least} to {most}")
    return value


def cores(value: float, name: str = "cores") -> int:
    """Thousandths of cores."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    if not 0 <= value <= 1e6:
        raise ValueError(f"{name} is from 0 to a million")
    return round(value * 1000)
