# SPDX-License-Identifier: Apache-2.0
"""The Kafka protocol, raw, for frames that no proper client would make.

Messages are encoded and decoded from the field tables in
tests/vectors/fields, so every API and version is here and nothing of the
broker's own code is trusted.  Values are dicts with the tables' names:

    with Client(broker.address) as c:
        answer = c.call("Metadata", 9, Topics=[{"Name": "t"}])
"""

import itertools
import pathlib
import socket
import struct
import time
import uuid

import packing

FIELDS = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "fields"
NIL_UUID = uuid.UUID(int=0)
OFFSET_NOT_AVAILABLE = 78


class WireError(Exception):
    pass


# --- the tables --------------------------------------------------------------

def _versions(text):
    if text == "none":
        return range(0)
    if text.endswith("+"):
        return range(int(text[:-1]), 1 << 15)
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


class Field:
    def __init__(self, words):
        self.name, kind, versions = words[:3]
        self.array = kind.endswith("[]")
        self.kind = kind[:-2] if self.array else kind
        self.versions = _versions(versions)
        self.children = []
        attributes = dict(w.partition("=")[::2] for w in words[3:])
        self.nullable = _versions(attributes.get("nullable", "none"))
        self.tag = int(attributes["tag"]) if "tag" in attributes else None
        self.tagged = _versions(attributes.get("tagged", "none"))
        self.never_compact = attributes.get("flex") == "none"
        self.default_text = attributes.get("default")

    def default(self):
        text = self.default_text
        if text == "null":
            return None
        if self.array:
            return []
        if self.kind in SCALARS or self.kind == "bool":
            if text is None:
                return 0
            return {"true": 1, "false": 0}.get(text) if text in (
                "true", "false") else int(text, 0)
        if self.kind == "float64":
            return float(text or 0)
        if self.kind == "string":
            return (text or "").strip('"')
        if self.kind == "uuid":
            return NIL_UUID
        if self.kind == "bytes":
            return b""
        if self.kind == "records":
            return None
        return {}


class Schema:
    def __init__(self, words):
        self.kind, self.name = words[:2]
        attributes = dict(w.partition("=")[::2] for w in words[2:])
        self.key = int(attributes["key"]) if "key" in attributes else None
        self.valid = _versions(attributes["valid"])
        self.flexible = _versions(attributes.get("flexible", "none"))
        self.fields = []


SCALARS = {"int8": "b", "int16": "h", "uint16": "H", "int32": "i",
           "uint32": "I", "int64": "q"}


def _load_file(path):
    schemas, schema, shared, stack, fields = [], None, {}, [], []
    for line in path.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        # a default may hold no blanks, so words can be split at them
        words = line.split()
        depth = (len(line) - len(line.lstrip())) // 2
        if depth == 0:
            if words[0] == "end":
                # a shared struct may be named before it is defined
                for f in fields:
                    if not f.children and f.kind in shared:
                        f.children = shared[f.kind]
                schemas.append(schema)
            else:
                schema, shared, fields = Schema(words), {}, []
                stack = [schema.fields]
            continue
        if words[0] == "struct":
            holder = []
            shared[words[1]] = holder
            stack[depth:] = [holder]
            continue
        field = Field(words)
        fields.append(field)
        stack[depth - 1].append(field)
        stack[depth:] = [field.children]
    return schemas


def _load():
    requests, responses, data = {}, {}, {}
    for path in sorted(FIELDS.glob("*.msg")):
        for s in _load_file(path):
            if s.kind == "request":
                requests[s.name[:-len("Request")]] = s
            elif s.kind == "response":
                responses[s.name[:-len("Response")]] = s
            else:
                data[s.name] = s
    return requests, responses, data


REQUESTS, RESPONSES, DATA = _load()
KEYS = {name: s.key for name, s in REQUESTS.items()}
NAMES = {s.key: name for name, s in REQUESTS.items()}


# --- encoding ----------------------------------------------------------------

def uvarint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(n):
    return uvarint((n << 1) ^ (n >> 63))


def _put_length(length, flexible, size):
    if flexible:
        return uvarint(0 if length is None else length + 1)
    return struct.pack(">h" if size == 2 else ">i",
                       -1 if length is None else length)


def _put_value(field, version, value, flexible):
    compact = flexible and not field.never_compact
    kind = field.kind
    if kind in SCALARS:
        return struct.pack(">" + SCALARS[kind], value)
    if kind == "bool":
        return struct.pack(">b", int(value))
    if kind == "float64":
        return struct.pack(">d", value)
    if kind == "uuid":
        return value.bytes
    if kind == "string":
        raw = value.encode() if isinstance(value, str) else value
        return _put_length(None if raw is None else len(raw), compact, 2) + (
            raw or b"")
    if kind in ("bytes", "records"):
        return _put_length(None if value is None else len(value), compact,
                           4) + (value or b"")
    if version in field.nullable and not field.array:
        if value is None:
            return b"\xff"
        return b"\x01" + _put_struct(field.children, version, value, flexible)
    return _put_struct(field.children, version, value, flexible)


def _put_field(field, version, value, flexible):
    if not field.array:
        return _put_value(field, version, value, flexible)
    out = [_put_length(None if value is None else len(value), flexible, 4)]
    out += [_put_value(field, version, item, flexible)
            for item in value or ()]
    return b"".join(out)


def _put_struct(fields, version, values, flexible):
    unknown = set(values) - {f.name for f in fields} - {"_tags"}
    if unknown:
        raise KeyError(f"no such fields: {unknown}")
    out, tags = [], dict(values.get("_tags", {}))
    for f in fields:
        if version not in f.versions:
            continue
        value = values.get(f.name, f.default())
        if version in f.tagged:
            if value != f.default():
                tags[f.tag] = _put_field(f, version, value, True)
        else:
            out.append(_put_field(f, version, value, flexible))
    if flexible:
        out.append(uvarint(len(tags)))
        for tag in sorted(tags):
            out += [uvarint(tag), uvarint(len(tags[tag])), tags[tag]]
    return b"".join(out)


def encode(schema, version, values):
    return _put_struct(schema.fields, version, values,
                       version in schema.flexible)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise WireError(f"{n} bytes wanted at {self.at} of "
                            f"{len(self.data)}")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, code):
        return struct.unpack(">" + code,
                             self.take(struct.calcsize(">" + code)))[0]

    def uvarint(self):
        n = shift = 0
        while True:
            b = self.take(1)[0]
            n |= (b & 0x7f) << shift
            if b < 0x80:
                return n
            shift += 7

    def varint(self):
        n = self.uvarint()
        return (n >> 1) ^ -(n & 1)

    def length(self, flexible, size):
        if flexible:
            n = self.uvarint() - 1
        else:
            n = self.number("h" if size == 2 else "i")
        return None if n == -1 else n

    def left(self):
        return len(self.data) - self.at


def _get_value(field, version, r, flexible):
    compact = flexible and not field.never_compact
    kind = field.kind
    if kind in SCALARS:
        return r.number(SCALARS[kind])
    if kind == "bool":
        return bool(r.number("b"))
    if kind == "float64":
        return r.number("d")
    if kind == "uuid":
        return uuid.UUID(bytes=bytes(r.take(16)))
    if kind in ("string", "bytes", "records"):
        n = r.length(compact, 2 if kind == "string" else 4)
        if n is None:
            return None
        raw = bytes(r.take(n))
        return raw.decode(errors="replace") if kind == "string" else raw
    if version in field.nullable and not field.array:
        if r.number("b") < 0:
            return None
    return _get_struct(field.children, version, r, flexible)


def _get_field(field, version, r, flexible):
    if not field.array:
        return _get_value(field, version, r, flexible)
    n = r.length(flexible, 4)
    if n is None:
        return None
    return [_get_value(field, version, r, flexible) for _ in range(n)]


def _get_struct(fields, version, r, flexible):
    out, by_tag = {}, {}
    for f in fields:
        if version not in f.versions:
            continue
        if version in f.tagged:
            by_tag[f.tag] = f
            out[f.name] = f.default()
        else:
            out[f.name] = _get_field(f, version, r, flexible)
    if flexible:
        last = -1
        for _ in range(r.uvarint()):
            tag, size = r.uvarint(), r.uvarint()
            if tag <= last:
                raise WireError("tags do not ascend")
            last = tag
            inner = Reader(r.take(size))
            if tag in by_tag:
                f = by_tag[tag]
                out[f.name] = _get_field(f, version, inner, True)
                if inner.left():
                    raise WireError(f"tag {tag}: {inner.left()} bytes over")
    return out


def decode(schema, version, data):
    """The whole of data; bytes left over are an error."""
    r = data if isinstance(data, Reader) else Reader(data)
    out = _get_struct(schema.fields, version, r, version in schema.flexible)
    if r.left():
        raise WireError(f"{schema.name} v{version}: {r.left()} bytes over")
    return out


# --- frames ------------------------------------------------------------------

def request_header(key, version, correlation, client_id="raw", flexible=False):
    raw = b"" if client_id is None else client_id.encode()
    out = struct.pack(">hhih", key, version, correlation,
                      -1 if client_id is None else len(raw)) + raw
    return out + (b"\0" if flexible else b"")


def frame(payload):
    return struct.pack(">i", len(payload)) + payload


def request_frame(name, version, correlation=1, client_id="raw", **values):
    """Header and body without the size in front."""
    schema = REQUESTS[name]
    return request_header(schema.key, version, correlation, client_id,
                          version in schema.flexible) + encode(
                              schema, version, values)


class Closed(Exception):
    """The broker ended the connection."""


class Client:
    """One connection."""

    def __init__(self, address, timeout=60, receive_buffer=None, secure=None):
        """secure: an ssl.SSLContext."""
        host, port = address.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure is not None:
            self.socket = secure.wrap_socket(self.socket, server_hostname=host)
        self.correlations = itertools.count(1)
        self.pending = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # raw bytes

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed() from e

    def send_frame(self, payload):
        self.send_raw(frame(payload))

    def receive_exactly(self, n):
        out = bytearray()
        while len(out) < n:
            try:
                got = self.socket.recv(min(n - len(out), 1 << 20))
            except ConnectionResetError as e:
                raise Closed() from e
            if not got:
                raise Closed()
            out += got
        return bytes(out)

    def receive_frame(self):
        size = struct.unpack(">i", self.receive_exactly(4))[0]
        if size < 4:
            raise WireError(f"an answer of {size} bytes")
        return self.receive_exactly(size)

    def ended(self):
        """Waits for the end; False when an answer comes instead."""
        try:
            self.receive_exactly(1)
        except Closed:
            return True
        return False

    # requests

    def send(self, name, version, client_id="raw", **values):
        """Sends and does not wait; the correlation id."""
        correlation = next(self.correlations)
        self.pending[correlation] = (name, version)
        self.send_frame(request_frame(name, version, correlation, client_id,
                                      **values))
        return correlation

    def receive(self, correlation=None):
        """The next answer, which must be that one."""
        data = Reader(self.receive_frame())
        got = data.number("i")
        if correlation is not None and got != correlation:
            raise WireError(f"answer {got} instead of {correlation}")
        name, version = self.pending.pop(got)
        schema = RESPONSES[name]
        if version in schema.flexible and name != "ApiVersions":
            if data.uvarint() != 0:
                raise WireError("tags in the response header")
        return decode(schema, version, data)

    def call(self, name, version, **values):
        return self.receive(self.send(name, version, **values))


# --- record batches ----------------------------------------------------------

def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CRC = _crc32c_table()


def crc32c(data):
    crc, table = 0xFFFFFFFF, _CRC
    for b in data:
        crc = table[(crc ^ b) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _optional(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(value, key=None, headers=(), offset_delta=0, timestamp_delta=0):
    body = (b"\0" + varint(timestamp_delta) + varint(offset_delta) +
            _optional(key) + _optional(value) + varint(len(headers)))
    for name, content in headers:
        body += varint(len(name)) + name + _optional(content)
    return varint(len(body)) + body


def batch(values, *, base_offset=0, leader_epoch=-1, magic=2, attributes=0,
          timestamp=None, timestamps=None, producer_id=-1, producer_epoch=-1,
          base_sequence=-1, count=None, last_offset_delta=None, payload=None,
          crc=None, length=None, max_timestamp=None, compress=None):
    """A record batch; what is named replaces what would be right.  `values`
    are bytes, None, or what record() takes as a tuple (value, key, headers)."""
    now = int(time.time() * 1000) if timestamp is None else timestamp
    timestamps = timestamps or [now] * len(values)
    base = timestamps[0] if timestamps else now
    if payload is None:
        payload = b"".join(
            record(*(v if isinstance(v, tuple) else (v,)), offset_delta=i,
                   timestamp_delta=timestamps[i] - base)
            for i, v in enumerate(values))
    if compress is not None:
        payload = compress(payload)
    checked = struct.pack(
        ">hiqqqhii", attributes,
        len(values) - 1 if last_offset_delta is None else last_offset_delta,
        base, max(timestamps, default=now) if max_timestamp is None
        else max_timestamp, producer_id, producer_epoch, base_sequence,
        len(values) if count is None else count) + payload
    return struct.pack(
        ">qiibI", base_offset, len(checked) + 9 if length is None else length,
        leader_epoch, magic, crc32c(checked) if crc is None else crc) + checked


class Batch:
    """One batch as read."""

    CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

    def __init__(self, data):
        (self.base_offset, self.length, self.leader_epoch, self.magic,
         self.crc, self.attributes, self.last_offset_delta,
         self.base_timestamp, self.max_timestamp, self.producer_id,
         self.producer_epoch, self.base_sequence,
         self.count) = struct.unpack_from(">qiibIhiqqqhii", data)
        self.data = data[:self.length + 12]

    @property
    def codec(self):
        return self.CODECS[self.attributes & 7]

    @property
    def last_offset(self):
        return self.base_offset + self.last_offset_delta

    def valid(self):
        return crc32c(self.data[21:]) == self.crc

    def records(self):
        """(offset, timestamp, key, value, headers)"""
        payload = packing.UNPACK[self.codec](self.data[61:])
        r, out = Reader(payload), []
        for _ in range(self.count):
            r.varint()
            r.take(1)
            timestamp = self.base_timestamp + r.varint()
            offset = self.base_offset + r.varint()
            n = r.varint()
            key = None if n < 0 else bytes(r.take(n))
            n = r.varint()
            value = None if n < 0 else bytes(r.take(n))
            headers = []
            for _ in range(r.varint()):
                name = bytes(r.take(r.varint()))
                n = r.varint()
                headers.append((name, None if n < 0 else bytes(r.take(n))))
            out.append((offset, timestamp, key, value, headers))
        return out


def batches(data):
    """Whole batches in bytes; a cut one at the end is left out."""
    at, out = 0, []
    while len(data) - at >= 61:
        length = struct.unpack_from(">i", data, at + 8)[0]
        if length <= 0 or at + 12 + length > len(data):
            break
        out.append(Batch(data[at:at + 12 + length]))
        at += 12 + length
    return out


# --- the calls that most tests make ------------------------------------------

def produce(client, topic, data, partition=0, version=9, acks=-1,
            timeout_ms=10000, transactional_id=None):
    """One batch to one partition; the partition's answer."""
    answer = client.call(
        "Produce", version, Acks=acks, TimeoutMs=timeout_ms,
        TransactionalId=transactional_id,
        TopicData=[{"Name": topic, "PartitionData": [
            {"Index": partition, "Records": data}]}])
    return answer["Responses"][0]["PartitionResponses"][0]


def fetch_request(topic, offset, partition=0, max_wait_ms=500, min_bytes=1,
                  max_bytes=1 << 26, partition_max_bytes=1 << 26, **more):
    part = {"Partition": partition, "FetchOffset": offset,
            "PartitionMaxBytes": partition_max_bytes}
    return {"MaxWaitMs": max_wait_ms, "MinBytes": min_bytes,
            "MaxBytes": max_bytes, "Topics": [
                {"Topic": topic, "Partitions": [part]}], **more}


def fetch(client, topic, offset, version=12, **how):
    """The partition's answer."""
    answer = client.call("Fetch", version,
                         **fetch_request(topic, offset, **how))
    if answer.get("ErrorCode", 0):
        raise WireError(f"Fetch answered {answer['ErrorCode']}")
    return answer["Responses"][0]["Partitions"][0]


def read_all(client, topic, partition=0, offset=0):
    """Every record from there to the high watermark, which a new leader has to
    learn from its followers: it may be below what was acknowledged, until the
    leader tells it to those who ask for the end (KIP-207)."""
    until = time.monotonic() + 60
    while list_offset(client, topic, -1, partition)[
            "ErrorCode"] == OFFSET_NOT_AVAILABLE:
        if time.monotonic() > until:
            raise WireError("who leads does not learn the high watermark")
        time.sleep(0.01)
    out = []
    while True:
        part = fetch(client, topic, offset, partition=partition,
                     max_wait_ms=0)
        if part["ErrorCode"]:
            raise WireError(f"Fetch answered {part['ErrorCode']}")
        for b in batches(part["Records"] or b""):
            out += [r for r in b.records() if r[0] >= offset]
            offset = max(offset, b.last_offset + 1)
        if offset >= part["HighWatermark"]:
            return out


def list_offset(client, topic, timestamp, partition=0, version=7):
    answer = client.call(
        "ListOffsets", version, ReplicaId=-1,
        Topics=[{"Name": topic, "Partitions": [
            {"PartitionIndex": partition, "Timestamp": timestamp}]}])
    return answer["Topics"][0]["Partitions"][0]


def topic_id_bytes(text):
    """The uuid of the 22 characters in znodes and partition.metadata."""
    import base64
    return uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=="))
