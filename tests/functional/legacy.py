# SPDX-License-Identifier: Apache-2.0
"""Messages of magic 0 and 1: made, and taken apart."""

import collections
import struct
import time
import zlib

import packing

# Young enough for retention to leave it alone.
NOW = int(time.time()) * 1000
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
APPEND_TIME = 8


def fields(key, value):
    return b"".join(struct.pack(">i", -1) if x is None
                    else struct.pack(">i", len(x)) + x for x in (key, value))


def message(value, key=None, *, magic=1, offset=0, timestamp=NOW,
            attributes=0, crc=None, size=None, body=None):
    """One message; what is named replaces what would be right."""
    rest = struct.pack(">bb", magic, attributes)
    if magic > 0:
        rest += struct.pack(">q", timestamp)
    rest += fields(key, value) if body is None else body
    crc = zlib.crc32(rest) if crc is None else crc
    return struct.pack(">qiI", offset, len(rest) + 4 if size is None else size,
                       crc) + rest


def messages(count, start=0, **how):
    return b"".join(message(b"v%d" % i, b"k%d" % i, offset=start + i, **how)
                    for i in range(count))


def wrapper(inner, codec=GZIP, pack=packing.gzip, attributes=0, **how):
    return message(pack(inner), attributes=codec | attributes, **how)


Message = collections.namedtuple(
    "Message", "offset magic attributes timestamp key value inner")


def _field(data, at):
    n = struct.unpack_from(">i", data, at)[0]
    return (None, at + 4) if n < 0 else (data[at + 4:at + 4 + n], at + 4 + n)


def read_set(data, deep=True):
    """([Message], the bytes that are no whole message).  A wrapper's value is
    not shown, but its `inner` messages are; else that is None.  CRCs are
    looked at."""
    out, at = [], 0
    while len(data) - at >= 12:
        offset, size = struct.unpack_from(">qi", data, at)
        if size < 14 or at + 12 + size > len(data):
            break
        crc, magic, attributes = struct.unpack_from(">Ibb", data, at + 12)
        assert zlib.crc32(data[at + 16:at + 12 + size]) == crc, offset
        assert magic in (0, 1), magic
        timestamp, body = None, at + 18
        if magic == 1:
            timestamp, body = struct.unpack_from(">q", data, body)[0], body + 8
        key, body = _field(data, body)
        value, body = _field(data, body)
        assert body == at + 12 + size
        inner, codec = None, packing.NAMES[attributes & 7]
        if codec != "none":
            assert deep, "a wrapper in a wrapper"
            if codec == "lz4":
                assert packing.lz4_check(value) == magic
            inner, rest = read_set(packing.UNPACK[codec](value), False)
            assert rest == b""
            value = None
        out.append(Message(offset, magic, attributes, timestamp, key, value,
                           inner))
        at += 12 + size
    return out, data[at:]


def flat(found):
    """(offset, timestamp, key, value), by the log's offsets."""
    out = []
    for m in found:
        if m.inner is None:
            out.append((m.offset, m.timestamp, m.key, m.value))
            continue
        shift = m.offset - m.inner[-1].offset if m.magic == 1 else 0
        stamp = m.timestamp if m.attributes & APPEND_TIME else None
        out += [(i.offset + shift, i.timestamp if stamp is None else stamp,
                 i.key, i.value) for i in m.inner]
    return out
