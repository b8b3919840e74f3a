"""The statements of a psql script, as psql would send them.

Knows psql's quoting, its backslash commands (they are left out; those that send the query end it),
the data behind COPY FROM STDIN, and variables, in whose place their names stand.
"""

import re

_SENDS = ("g", "gx", "gset", "gexec", "gdesc", "crosstabview", "watch", "bind", "parse")
_DOLLAR = re.compile(r"\$(?:[A-Za-z_\x80-\uffff][A-Za-z0-9_\x80-\uffff]*)?\$")
_VARIABLE = re.compile(r":(?:'(\w+)'|\"(\w+)\"|\{\?\w+\}|([A-Za-z_]\w*))")
_COPY_IN = re.compile(r"\s*copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)


class _Reader:
    def __init__(self, text):
        self.text, self.at, self.piece, self.depth = text, 0, [], 0

    def take(self, end):
        self.piece.append(self.text[self.at:end])
        self.at = end

    def find(self, what, start):
        found = self.text.find(what, start)
        return len(self.text) if found < 0 else found + len(what)

    def string(self):
        """A '...' from here on, with backslashes if an E stands before it."""
        escapes = bool(re.search(r"(?:^|[^A-Za-z0-9_$])[eE]$", "".join(self.piece)[-2:]))
        end = self.at + 1
        while end < len(self.text):
            if self.text[end] == "\\" and escapes:
                end += 2
            elif self.text.startswith("''", end):
                end += 2
            elif self.text[end] == "'":
                break
            else:
                end += 1
        self.take(min(end + 1, len(self.text)))

    def comment(self):
        end, depth = self.at + 2, 1
        while end < len(self.text) and depth:
            step = {"/*": 1, "*/": -1}.get(self.text[end:end + 2], 0)
            depth += step
            end += 2 if step else 1
        self.take(end)

    def variable(self, found):
        single, double, plain = found.groups()
        self.piece.append(f"'{single}'" if single else f'"{double}"' if double else plain or "1")
        self.at = found.end()

    def statement(self):
        text = "".join(self.piece).strip()
        self.piece, self.depth = [], 0
        if _COPY_IN.match(text):
            newline = self.find("\n", self.at)
            self.at = min(self.find("\n\\.", newline - 1), len(self.text))
            self.at = self.find("\n", self.at)
        return text


def statements(text):
    """Yields each statement without its semicolon."""
    reader = _Reader(text)
    while reader.at < len(text):
        rest = text[reader.at:reader.at + 2]
        dollar = _DOLLAR.match(text, reader.at) if rest[0] == "$" else None
        variable = _VARIABLE.match(text, reader.at) if rest[0] == ":" and rest != "::" else None
        if rest == "--":
            reader.take(reader.find("\n", reader.at))
        elif rest == "/*":
            reader.comment()
        elif rest[0] == "'":
            reader.string()
        elif rest[0] == '"':
            reader.take(reader.find('"', reader.at + 1))
        elif dollar:
            reader.take(reader.find(dollar.group(), dollar.end()))
        elif rest == "::":
            reader.take(reader.at + 2)
        elif variable:
            reader.variable(variable)
        elif rest == "\\;":
            reader.at += 2
            yield reader.statement()
        elif rest[0] == "\\":
            name = re.match(r"\\(\w*)", text[reader.at:reader.at + 40]).group(1)
            reader.at = reader.find("\n", reader.at) - 1
            if name in _SENDS:
                yield reader.statement()
            elif name == "r":
                reader.piece = []
        elif rest[0] == ";" and reader.depth <= 0:
            reader.at += 1
            yield reader.statement()
        else:
            reader.depth += {"(": 1, ")": -1}.get(rest[0], 0)
            reader.take(reader.at + 1)
