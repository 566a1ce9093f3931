"""What the maker of an ONNX model wrote about it, read without loading the model."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_METADATA = 14
"""The field of `ModelProto` (onnx.proto) that has a pair of strings, each time it is there."""
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields in the wire format of protocol buffers."""
_LONGEST = 1 << 20
_SHORT = "this is no ONNX model, or its end is missing"


def metadata(model: Path) -> dict[str, str]:
    """Names and values. `ValueError`: this is no ONNX model, or its end is missing; `OSError`: it can't be read."""
    found: dict[str, str] = {}
    size = model.stat().st_size
    with model.open("rb") as file:
        while file.tell() < size:
            number, kind = divmod(_varint(file), 8)
            if kind == _LENGTH:
                length = _varint(file)
                if length > size - file.tell():
                    raise ValueError(_SHORT)
                if number == _METADATA and length <= _LONGEST:
                    name, value = _pair(file.read(length))
                    found[name] = value
                else:
                    file.seek(length, 1)
            elif kind == _VARINT:
                _varint(file)
            elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
                file.seek(8 if kind == _EIGHT_BYTES else 4, 1)
            else:
                raise ValueError(_SHORT)
        if not size or file.tell() > size:
            raise ValueError(_SHORT)
    return found


def _pair(entry: bytes) -> tuple[str, str]:
    """Of the message that has both, each shorter than the message."""
    texts = ["", ""]
    at = 0
    while at < len(entry):
        number, at = entry[at] >> 3, at + 1
        length = shift = 0
        while at < len(entry):
            length |= (entry[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if entry[at - 1] < 128:
                break
        if number in (1, 2):
            texts[number - 1] = entry[at : at + length].decode(errors="replace")
        at += length
    if at > len(entry):
        raise ValueError(_SHORT)
    return texts[0], texts[1]


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
        if shift > 63:
            break
    raise ValueError(_SHORT)
