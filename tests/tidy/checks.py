# SPDX-License-Identifier: Apache-2.0
"""The checks.  Each takes the tree and yields findings:
(path, line, key, message); a waiver names rule, path and key."""

import collections
import fnmatch
import pathlib
import re
import subprocess

import rules

NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'
                      r"'(?:\\.|[^'\\\n])*'", re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)
WORD = re.compile(r"[A-Za-z_]\w*")
FUNCTION = re.compile(r"^([A-Za-z_]\w*)\(")


def _blank(match):
    text = match.group()
    if text[0] == "/":
        return " " + "\n" * text.count("\n")
    return text[0] * 2


class Source:
    def __init__(self, top, path):
        self.path = path
        self.name = path.rsplit("/", 1)[-1]
        self.text = (top / path).read_text(errors="replace")
        self.lines = self.text.split("\n")
        if not self.lines[-1]:
            self.lines.pop()
        self.is_c = path.endswith((".c", ".h"))
        self._code = None
        self._functions = None

    @property
    def code(self):
        """The lines without comments and what stands in quotes."""
        if self._code is None:
            self._code = NOT_CODE.sub(_blank, self.text).split("\n")
        return self._code

    @property
    def functions(self):
        """(name, line of the name, last line, return type apart), from 1."""
        if self._functions is None:
            self._functions = list(self._find_functions())
        return self._functions

    def _find_functions(self):
        code = self.code
        for n, line in enumerate(code):
            if line != "{":
                continue
            head = n - 1
            while head >= 0 and (not code[head] or code[head][0] in " \t"):
                head -= 1
            if head < 0 or "(" not in code[head]:
                continue
            end = n
            while end < len(code) and not code[end].startswith("}"):
                end += 1
            match = FUNCTION.match(code[head])
            names = WORD.findall(code[head].split("(")[0])
            yield (match.group(1) if match else names[-1] if names else "?",
                   head + 1, end + 1, match is not None)


class Tree:
    """All that is ours under `top`; `build` holds the libraries."""

    def __init__(self, top, build):
        self.top, self.build = pathlib.Path(top), pathlib.Path(build)
        self.sources = [Source(self.top, p) for p in sorted(self._paths())]
        self.by_path = {s.path: s for s in self.sources}
        self.c = [s for s in self.sources if s.is_c]
        self.rooms = self._layers()

    def _paths(self):
        for path in self._walk(self.top):
            name = path.relative_to(self.top).as_posix()
            if "/" not in name:
                if name in ("Makefile.am", "configure.ac", "autogen.sh"):
                    yield name
            elif name.endswith(rules.SOURCE + ("Makefile.inc", ".md")) or (
                    "." not in path.name and self._is_script(path)):
                yield name

    def _walk(self, folder):
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                if path.name not in rules.SKIPPED_FOLDERS and not (
                        path / "config.status").exists():
                    yield from self._walk(path)
            else:
                yield path

    @staticmethod
    def _is_script(path):
        with open(path, "rb") as f:
            return f.read(2) == b"#!"

    def _layers(self):
        """room -> (floor, folder, allowed rooms or None for all lower)."""
        rooms = {}
        table = self.top / "broker/LAYERS"
        for line in table.read_text().splitlines():
            words = line.split()
            if not words or line.startswith("#"):
                continue
            floor = None if words[0] == "-" else int(words[0])
            allowed = None if words[3:] == ["*"] else set(words[3:]) - {"-"}
            rooms[words[1]] = (floor, words[2], allowed)
        return rooms

    def room_of(self, path):
        folder = path.rsplit("/", 1)[0]
        for room, (_, where, _) in self.rooms.items():
            if folder == where or folder.startswith(where + "/"):
                return room
        return None

    def resolve(self, source, name):
        """The path of what `#include "name"` means."""
        here = source.path.rsplit("/", 1)[0]
        for path in (f"{here}/{name}", f"broker/{name}", name):
            if path in self.by_path:
                return path
        return None

    def in_rooms(self):
        return [s for s in self.c if s.path.startswith(rules.ROOM_FOLDERS)]


def _matches(path, globs):
    return any(fnmatch.fnmatch(path, g) for g in globs)


def _includes(source):
    for m in INCLUDE.finditer(source.text):
        yield (source.text.count("\n", 0, m.start(2)) + 1, m.group(1),
               m.group(2))


# --- includes ----------------------------------------------------------------

def check_layers(tree):
    for room, (floor, _, allowed) in tree.rooms.items():
        for other in sorted(allowed or ()):
            if other not in tree.rooms:
                yield "broker/LAYERS", 0, other, f"{room}: no room {other}"
            elif floor is not None and tree.rooms[other][0] >= floor:
                yield ("broker/LAYERS", 0, other,
                       f"{room} on floor {floor} would call up to {other}")
    for s in tree.in_rooms():
        room = tree.room_of(s.path)
        if room is None:
            yield s.path, 1, s.name, "in no room of broker/LAYERS"
            continue
        floor, _, allowed = tree.rooms[room]
        for line, quote, name in _includes(s):
            if quote == "<":
                continue
            path = tree.resolve(s, name)
            if path is None:
                if name != "config.h":
                    yield s.path, line, name, f'no such file: "{name}"'
                continue
            other = tree.room_of(path)
            if other in (room, "base"):
                continue
            if other is None or other not in tree.rooms:
                yield s.path, line, name, f"{path} belongs to no room"
            elif allowed is None:
                if tree.rooms[other][0] is None or \
                        tree.rooms[other][0] >= floor:
                    yield s.path, line, name, f"{room} calls up to {other}"
            elif other not in allowed:
                yield s.path, line, name, f"{room} may not include {other}"


def check_private(tree):
    for s in tree.c:
        if s.path.startswith("tests/"):
            continue
        for line, quote, name in _includes(s):
            path = tree.resolve(s, name) if quote == '"' else None
            if path and (path.endswith("_int.h") or
                         path.endswith("/internal.h")) and \
                    tree.room_of(path) != tree.room_of(s.path):
                yield (s.path, line, name,
                       f"{name} is private to {tree.room_of(path)}")


def check_libraries(tree):
    for s in tree.c:
        if s.path.startswith("tests/"):
            continue
        for line, quote, name in _includes(s):
            if quote == '"' or name in rules.SYSTEM_HEADERS:
                continue
            for prefix, owners in rules.LIBRARIES:
                if name.startswith(prefix):
                    if not _matches(s.path, owners):
                        yield (s.path, line, name, f"<{name}> belongs to " +
                               (" ".join(owners) or "tests"))
                    break
            else:
                yield s.path, line, name, f"<{name}>: a new dependency?"


# --- lengths -----------------------------------------------------------------

def check_function_length(tree):
    for s in tree.c:
        for name, first, last, _ in s.functions:
            if last - first + 1 > rules.FUNCTION_LINES:
                yield (s.path, first, name, f"{name}: {last - first + 1} "
                       f"lines, at most {rules.FUNCTION_LINES}")


def check_file_length(tree):
    for s in tree.sources:
        if len(s.lines) > rules.FILE_LINES:
            yield (s.path, len(s.lines), "-",
                   f"{len(s.lines)} lines, at most {rules.FILE_LINES}")


def check_line_length(tree):
    """The key is how many the file has, so a waiver lets in no more."""
    for s in tree.sources:
        if not s.name.endswith((".c", ".h", ".def", ".py", ".java")):
            continue
        most = rules.COLUMNS
        if s.name.endswith(".def"):
            most = rules.TABLE_COLUMNS
        long = []
        for n, line in enumerate(s.lines, 1):
            if len(line) * 8 > most and len(line.expandtabs(8)) > most:
                long.append((n, len(line.expandtabs(8))))
        for n, columns in long:
            yield (s.path, n, str(len(long)),
                   f"{columns} columns, at most {most}")


# --- shape -------------------------------------------------------------------

def check_return_type(tree):
    for s in tree.c:
        for name, first, _, apart in s.functions:
            if not apart:
                yield (s.path, first, name, f"{name}: the return type stands "
                       "on a line of its own")


def check_licence(tree):
    for s in tree.sources:
        if s.name.endswith(".md"):
            continue
        if not any("SPDX-License-Identifier: Apache-2.0" in line
                   for line in s.lines[:3]):
            yield s.path, 1, "-", "no SPDX line"


def check_promises(tree):
    words = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX")) +
                       r")\b")
    for s in tree.sources:
        for n, line in enumerate(s.lines, 1):
            if words.search(line):
                yield s.path, n, "-", "promises belong in an issue"


def check_jumps(tree):
    for s in tree.c:
        for n, line in enumerate(s.code, 1):
            m = re.search(r"\bgoto\s+(\w+)", line)
            if m and m.group(1) != "out":
                yield s.path, n, m.group(1), f"goto {m.group(1)}, not out"


# --- calls -------------------------------------------------------------------

CALL = re.compile(r"(?<![\w.>])([a-z_]\w*)\s*\(")


def _call_lines(source):
    """Lines that may call: bodies and macros, not prototypes."""
    for n, line in enumerate(source.code, 1):
        if line[:1] in ("\t", " ", "#"):
            yield n, line


def check_banned(tree):
    for s in tree.c:
        for n, line in _call_lines(s):
            for name in CALL.findall(line):
                if name in rules.BANNED:
                    yield s.path, n, name, f"{name}() is banned"


def check_seams(tree):
    for s in tree.in_rooms():
        if s.name.endswith(".h"):
            continue
        for n, line in _call_lines(s):
            for seam, calls, owners in rules.SEAMS:
                for m in calls.finditer(line):
                    before = line[:m.start()].rstrip()
                    if before.endswith((".", "->")) or \
                            _matches(s.path, owners):
                        continue
                    yield (s.path, n, m.group(1),
                           f"{m.group(1)}() belongs to the {seam} seam: " +
                           " ".join(owners))


def check_globals(tree):
    libraries = sorted(p for f in ("broker", "zkglue", "tools")
                       for p in tree.build.glob(f"{f}/**/lib*.a"))
    if not libraries:
        yield "broker", 0, "-", "no libraries here: build first"
        return
    shown = subprocess.run(["nm", "--format=sysv"] + [str(p) for p in
                           libraries], capture_output=True, text=True)
    if shown.returncode != 0:
        yield "broker", 0, "-", f"nm: {shown.stderr.strip()[:200]}"
    member = ""
    for line in shown.stdout.splitlines():
        if line.startswith("Symbols from "):
            member = re.sub(r"^Symbols from (.*)\[(.*)\]:$",
                            lambda m: m.group(1) + ":" + m.group(2), line)
            member = member.replace(str(tree.build) + "/", "")
            continue
        columns = [c.strip() for c in line.split("|")]
        if len(columns) == 7 and rules.WRITABLE.match(columns[6]) and \
                not columns[0].startswith(rules.TOOL_SYMBOLS) and \
                columns[0] not in rules.DEBUG_SYMBOLS:
            yield (member, 0, columns[0],
                   f"{columns[0]} in {columns[6]}: mutable globals are banned")


# --- rows --------------------------------------------------------------------

def _rows(text, words):
    """(word, arguments' text) of each row NAME(...) at a line's start."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text,
                  flags=re.S)
    for m in re.finditer(r"^(" + "|".join(words) + r")\(", text, re.M):
        depth, at, quoted = 1, m.end(), False
        while depth and at < len(text):
            c = text[at]
            if quoted:
                at += c == "\\"
                quoted = c != '"'
            elif c == '"':
                quoted = True
            else:
                depth += (c == "(") - (c == ")")
            at += 1
        yield (m.group(1), text[m.end():at - 1],
               text.count("\n", 0, m.start()) + 1)


def _golden(tree):
    """(api key or name, kind, version) of every vector."""
    found = set()
    folder = tree.top / "tests/vectors/golden"
    for path in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
        stem = path.stem
        owner = int(stem[:3]) if stem[:3].isdigit() else \
            re.sub(r"(?<!^)([A-Z])", r"_\1", stem[5:]).lower()
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) == 3 and words[0] != "#":
                found.add((owner, words[0], int(words[1])))
    return found


def check_vectors(tree):
    """Every message in every version has bytes of the real Kafka."""
    apis = tree.by_path.get("broker/wire/apis.def")
    if apis is None:
        return
    keys = {}
    for _, text, _ in _rows(apis.text, ["API"]):
        words = [w.strip() for w in text.split(",")]
        keys["API_" + words[1]] = int(words[0])
    golden = _golden(tree)
    for s in tree.sources:
        if not s.path.startswith("broker/wire/messages/"):
            continue
        for word, text, line in _rows(s.text, ["MESSAGE", "DATA"]):
            words = [w.strip() for w in text.split(",")]
            low, high = map(int, words[-3:-1])
            for v in range(low, high + 1):
                wanted = {(words[0], "data", v)}
                if word == "MESSAGE":
                    wanted.add((keys.get(words[1]), words[2].lower(), v))
                if not wanted & golden:
                    yield (s.path, line, words[0],
                           f"{words[0]} version {v} has no golden bytes")


def check_prose(tree):
    for s in tree.sources:
        if not s.path.startswith("broker/") or not s.path.endswith(".def"):
            continue
        for word, text, line in _rows(s.text, ["OPTION", "TOPIC_OPTION",
                                               "METRIC"]):
            strings = re.search(r'((?:"(?:\\.|[^"\\])*"\s*)+)$', text.strip())
            prose = "".join(re.findall(r'"((?:\\.|[^"\\])*)"',
                                       strings.group(1))) if strings else ""
            if len(prose) < 10 or prose[-1] not in ".)":
                yield (s.path, line, text.split(",")[1].strip(),
                       f"{word} without a sentence of prose")


def check_honoured(tree):
    """A room reads what a row says is honoured: its field stands behind the
    room's struct, or behind `options` in the room's own folder; or other
    fields, a topic's options among them, are worked out of it."""
    rows = tree.by_path.get("broker/config/options.def")
    if rows is None:
        return
    worked_out = "\n".join(
        tree.by_path[p].text for p in rules.OPTIONS_WORKED_OUT
        if p in tree.by_path)
    rooms = {}
    for s in tree.in_rooms():
        if not s.path.startswith("broker/config/"):
            room = tree.room_of(s.path)
            rooms[room] = rooms.get(room, "") + "\n".join(s.code) + "\n"
    everywhere = "\n".join(rooms.values())
    for _, text, line in _rows(rows.text, ["OPTION"]):
        words = [w.strip() for w in text.split(",")]
        room, field = words[:2]
        if "HONOURED" in words and field not in rules.HONOURED_BY_CHECK and \
                not re.search(rf"\b{field}\b", worked_out) and \
                not re.search(rf"\b{room}\s*(->|\.)\s*{field}\b",
                              everywhere) and \
                not re.search(rf"options\s*(->|\.)\s*{field}\b",
                              rooms.get(room, "")):
            yield (rows.path, line, field,
                   words[2].strip('"') +
                   f" is HONOURED, and no room reads {field}")


def check_served(tree):
    served = tree.by_path.get("broker/api/served.def")
    if served is None:
        return
    handlers = {f[0] for s in tree.c if s.path.startswith("broker/api/")
                for f in s.functions}
    tests = "\n".join(s.text for s in tree.sources
                      if s.path.startswith("tests/") and
                      not s.path.startswith(("tests/tidy/", "tests/vectors/",
                                             "tests/unit/test_vectors",
                                             "tests/unit/test_wire",
                                             "tests/functional/wire.py")))
    for _, text, line in _rows(served.text, ["SERVED"]):
        name, _, _, handler = [w.strip() for w in text.split(",")]
        if handler not in handlers:
            yield served.path, line, name, f"{name}: no handler {handler}"
        camel = name.title().replace("_", "")
        if not re.search(rf'\bAPI_{name}\b|"{camel}"|'
                         rf"\b{name.lower()}_re(quest|sponse)\b|\b{handler}\b",
                         tests):
            yield served.path, line, name, f"{name}: no test mentions it"


# --- what nobody needs -------------------------------------------------------

def check_files(tree):
    makefiles = " ".join(s.text for s in tree.sources
                         if s.name in ("Makefile.am", "Makefile.inc"))
    named = set(re.findall(r"[\w./-]+", makefiles))
    # or the folder, which is then distributed whole
    for s in tree.sources:
        if s.path not in named and s.path.rsplit("/", 1)[0] not in named and \
                "/" in s.path and not s.path.startswith(".ci/"):
            yield s.path, 0, "-", "no Makefile names it"


def check_unused(tree):
    """Functions that others could call, and nobody does."""
    defined, used = {}, collections.Counter()
    for s in tree.c + [s for s in tree.sources if s.path.endswith(".def")]:
        bodies = {}
        for name, first, last, _ in s.functions if s.is_c else ():
            for n in range(first, last + 1):
                bodies[n] = name
            before = s.code[first - 2] if first > 1 else ""
            if s.path.startswith(rules.ROOM_FOLDERS) and (
                    "static" not in before.split() or s.path.endswith(".h")):
                defined[name] = (s.path, first)
        for n, line in enumerate(s.code, 1):
            # prototypes stand at the line's start, or outside of any body
            if n not in bodies and s.is_c and line[:1] not in ("\t", "#") \
                    and not (line[:1] == " " and "{" in line):
                continue
            inside = bodies.get(n)
            for word in WORD.findall(line):
                if word != inside:
                    used[word] += 1
    for name, (path, line) in sorted(defined.items()):
        if not used[name] and name != "main":
            yield path, line, name, f"{name}(): nobody calls it"


CHECKS = {name[6:].replace("_", "-"): check
          for name, check in sorted(globals().items())
          if name.startswith("check_")}
