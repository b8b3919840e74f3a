"""Random values in PostgreSQL's binary formats, one maker for each common type, and COPY's rows."""

import struct

# OIDs for a Parse that says what its parameters are; 0 leaves it to the server.
_INT4, _FLOAT8, _TEXT, _NUMERIC = 23, 701, 25, 1700


def numeric(rnd):
    """Base-10000 digits, the first and the last not zero, as the server itself would send it."""
    digits = [rnd.randrange(1, 10000)] + [rnd.randrange(10000) for _ in range(rnd.randrange(3))]
    digits[-1] = digits[-1] or 1
    weight = rnd.randrange(-2, 4)
    scale = max(0, 4 * (len(digits) - 1 - weight))
    return struct.pack(f"!hhHh{len(digits)}h", len(digits), weight, rnd.choice((0, 0x4000)), scale,
                       *digits)


def array(oid, values):
    """One dimension, lower bound 1; None is NULL."""
    body = struct.pack("!iiIii", 1, int(None in values), oid, len(values), 1)
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return body


def text(rnd):
    words = ("NULL", "007", "1e5", "$1", "it's", "back\\slash", "a;b", "-- no", "/* no */", "$$",
             "x" * rnd.choice((1, 30, 3000)), "", "\u00fcn\u00ef\n\t", "-5", "'; DROP TABLE t; --")
    return rnd.choice(words).encode()


def _int4(rnd):
    return struct.pack("!i", rnd.randrange(-1 << 31, 1 << 31))


def _micros(rnd):
    return struct.pack("!q", rnd.randrange(-10 ** 17, 10 ** 17))


def _json(rnd):
    return f'{{"a": [1, null, "{rnd.randrange(100)}"], "b": {{}}}}'.encode()


def _interval(rnd):
    return struct.pack("!qii", rnd.randrange(-10 ** 12, 10 ** 12), rnd.randrange(-99, 99),
                       rnd.randrange(-99, 99))


def _inet(rnd):
    if rnd.random() < 0.5:
        return struct.pack("!BBBB4s", 2, rnd.randrange(33), 0, 4, rnd.randbytes(4))
    return struct.pack("!BBBB16s", 3, rnd.randrange(129), 0, 16, rnd.randbytes(16))


def _range(rnd):
    low = rnd.randrange(1000)
    return struct.pack("!Biiii", 2, 4, low, 4, low + 1 + rnd.randrange(9))


TYPES = {
    "int2": lambda rnd: struct.pack("!h", rnd.randrange(-1 << 15, 1 << 15)),
    "int4": _int4,
    "int8": lambda rnd: struct.pack("!q", rnd.randrange(-1 << 63, 1 << 63)),
    "float4": lambda rnd: struct.pack("!f", rnd.uniform(-1e6, 1e6)),
    "float8": lambda rnd: struct.pack("!d", rnd.choice((rnd.gauss(0, 1e9), float("nan"), 0.1))),
    "numeric": numeric,
    "text": text,
    "varchar": text,
    "bytea": lambda rnd: rnd.randbytes(rnd.choice((0, 1, 40, 5000))),
    "bool": lambda rnd: bytes([rnd.randrange(2)]),
    "date": lambda rnd: struct.pack("!i", rnd.randrange(-100000, 100000)),
    "time": lambda rnd: struct.pack("!q", rnd.randrange(86_400_000_000)),
    "timetz": lambda rnd: struct.pack("!qi", rnd.randrange(86_400_000_000), 3600),
    "timestamp": _micros,
    "timestamptz": _micros,
    "interval": _interval,
    "uuid": lambda rnd: rnd.randbytes(16),
    "json": _json,
    "jsonb": lambda rnd: b"\1" + _json(rnd),
    "inet": _inet,
    "macaddr": lambda rnd: rnd.randbytes(6),
    "money": lambda rnd: struct.pack("!q", rnd.randrange(-10 ** 9, 10 ** 9)),
    "oid": lambda rnd: struct.pack("!I", rnd.randrange(1 << 32)),
    "varbit": lambda rnd: struct.pack("!iB", 8, rnd.randrange(256)),
    "point": lambda rnd: struct.pack("!dd", rnd.random(), -rnd.random()),
    "int4range": _range,
    "int4[]": lambda rnd: array(_INT4, [_int4(rnd), None, _int4(rnd)]),
    "text[]": lambda rnd: array(_TEXT, [text(rnd) for _ in range(rnd.randrange(1, 4))]),
    "float8[]": lambda rnd: array(_FLOAT8, [struct.pack("!d", rnd.random())]),
    "numeric[]": lambda rnd: array(_NUMERIC, [numeric(rnd), None]),
}


def columns():
    return "id int4, " + ", ".join(f"v{at} {name}" for at, name in enumerate(TYPES))


def row(rnd, number):
    """The values of a row of a table with columns(), all in binary format."""
    values = [maker(rnd) if rnd.random() > 0.1 else None for maker in TYPES.values()]
    return [struct.pack("!i", number)] + values


def copy_binary(rows):
    """COPY's binary format: `rows` are lists of bytes and None."""
    data = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    for values in rows:
        data += struct.pack("!h", len(values))
        for value in values:
            data += struct.pack("!i", -1 if value is None else len(value)) + (value or b"")
    return data + struct.pack("!h", -1)
