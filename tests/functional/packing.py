# SPDX-License-Identifier: Apache-2.0
"""Kafka's framings of gzip, snappy, lz4 and zstd, through the libraries that
the broker links, loaded here for themselves."""

import ctypes
import struct
import zlib

NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
_libraries = {}


def _library(name):
    if name not in _libraries:
        _libraries[name] = ctypes.CDLL(name)
    return _libraries[name]


def gzip(data, level=6):
    z = zlib.compressobj(level, wbits=31)
    return z.compress(data) + z.flush()


def gunzip(data):
    out = b""
    while data:
        z = zlib.decompressobj(wbits=31)
        out += z.decompress(data) + z.flush()
        assert z.eof, "a gzip stream cut short"
        data = z.unused_data
    return out


def snappy_block(data):
    lib = _library("libsnappy.so.1")
    lib.snappy_max_compressed_length.restype = ctypes.c_size_t
    size = ctypes.c_size_t(lib.snappy_max_compressed_length(
        ctypes.c_size_t(len(data))))
    out = ctypes.create_string_buffer(size.value)
    assert lib.snappy_compress(data, ctypes.c_size_t(len(data)), out,
                               ctypes.byref(size)) == 0
    return out.raw[:size.value]


def snappy_unblock(data):
    lib = _library("libsnappy.so.1")
    size = ctypes.c_size_t()
    assert lib.snappy_uncompressed_length(
        data, ctypes.c_size_t(len(data)), ctypes.byref(size)) == 0
    out = ctypes.create_string_buffer(size.value + 1)
    assert lib.snappy_uncompress(data, ctypes.c_size_t(len(data)), out,
                                 ctypes.byref(size)) == 0
    return out.raw[:size.value]


def snappy(data):
    out = XERIAL
    for at in range(0, len(data), 32768):
        block = snappy_block(data[at:at + 32768])
        out += struct.pack(">i", len(block)) + block
    return out


def unsnappy(data):
    if data[:8] != XERIAL[:8]:
        return snappy_unblock(data)
    out, at = b"", 16
    while at < len(data):
        size = struct.unpack_from(">i", data, at)[0]
        out += snappy_unblock(data[at + 4:at + 4 + size])
        at += 4 + size
    return out


def lz4(data):
    """Stored blocks of 64 KiB: a valid frame, and small code."""
    out = b"\x04\x22\x4d\x18\x60\x40\x82"
    for at in range(0, len(data), 65536):
        part = data[at:at + 65536]
        out += struct.pack("<I", len(part) | 0x80000000) + part
    return out + b"\0\0\0\0"


def _xxh32(data):
    """With seed 0, of fewer than 16 bytes."""
    def turned(value, bits):
        value &= 0xffffffff
        return (value << bits | value >> 32 - bits) & 0xffffffff
    h, at = 374761393 + len(data), 0
    for at in range(0, len(data) // 4 * 4, 4):
        word = struct.unpack_from("<I", data, at)[0]
        h = turned(h + word * 3266489917, 17) * 668265263
    for byte in data[len(data) // 4 * 4:]:
        h = turned(h + byte * 374761393, 11) * 2654435761
    h &= 0xffffffff
    h = (h ^ h >> 15) * 2246822519 & 0xffffffff
    h = (h ^ h >> 13) * 3266489917 & 0xffffffff
    return h ^ h >> 16


def lz4_check(data):
    """What the checksum in the header is of: 1, the descriptor; 0, the magic
    too, as producers of messages of magic 0 had it; None: neither."""
    for answer, part in ((1, data[4:6]), (0, data[:6])):
        if _xxh32(part) >> 8 & 0xff == data[6]:
            return answer
    return None


def lz4_old(data):
    """As producers of magic 0 made it."""
    out = lz4(data)
    return out[:6] + bytes([_xxh32(out[:6]) >> 8 & 0xff]) + out[7:]


def unlz4(data):
    """Independent blocks, no checksums of content."""
    assert data[:4] == b"\x04\x22\x4d\x18" and data[4] & 0xe0 == 0x60
    at = 15 if data[4] & 8 else 7
    blocks, out = bool(data[4] & 16), b""
    lib = _library("liblz4.so.1")
    room = ctypes.create_string_buffer(1 << 8 + 2 * (data[5] >> 4))
    while True:
        size = struct.unpack_from("<I", data, at)[0]
        at += 4
        if size == 0:
            return out
        part = data[at:at + (size & 0x7fffffff)]
        at += len(part) + 4 * blocks
        if not size & 0x80000000:
            made = lib.LZ4_decompress_safe(part, room, len(part), len(room))
            assert made >= 0
            part = ctypes.string_at(room, made)
        out += part


def zstd(data):
    lib = _library("libzstd.so.1")
    lib.ZSTD_compress.restype = ctypes.c_size_t
    lib.ZSTD_compressBound.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(
        lib.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    size = lib.ZSTD_compress(out, ctypes.c_size_t(len(out)), data,
                             ctypes.c_size_t(len(data)), 3)
    return out.raw[:size]


def unzstd(data):
    lib = _library("libzstd.so.1")
    lib.ZSTD_createDStream.restype = ctypes.c_void_p
    lib.ZSTD_decompressStream.restype = ctypes.c_size_t

    class Run(ctypes.Structure):
        _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t),
                    ("pos", ctypes.c_size_t)]
    stream = ctypes.c_void_p(lib.ZSTD_createDStream())
    source = ctypes.create_string_buffer(data, len(data))
    room = ctypes.create_string_buffer(1 << 17)
    from_ = Run(ctypes.addressof(source), len(data), 0)
    out = b""
    while True:
        to = Run(ctypes.addressof(room), len(room), 0)
        left = lib.ZSTD_decompressStream(stream, ctypes.byref(to),
                                         ctypes.byref(from_))
        assert not lib.ZSTD_isError(ctypes.c_size_t(left))
        out += room.raw[:to.pos]
        if from_.pos == len(data) and to.pos < len(room):
            lib.ZSTD_freeDStream(stream)
            assert left == 0, "a zstd stream cut short"
            return out


PACK = {"none": bytes, "gzip": gzip, "snappy": snappy, "lz4": lz4,
        "zstd": zstd}
UNPACK = {"none": bytes, "gzip": gunzip, "snappy": unsnappy, "lz4": unlz4,
          "zstd": unzstd}
