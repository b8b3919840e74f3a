"""What the Python drivers share: the frame that runs scenarios, and the values they exchange.

A driver is a program `DRIVER DSN SCENARIO...`. It opens the connections it needs itself, prints one
line per scenario, `ok NAME` or `differs NAME: what`, and ends with status 0: test_clients.py judges
the lines. The scenarios and what each must show are in README terms of tests/README.md.
"""

import inspect
import asyncio
import sys

TEXT = "Grüße 'und\" \\ %s ☃"
BYTES = bytes(range(256))
ROWS = 100_000
WIDE = 8 << 20
SLEEP = "SELECT pg_sleep(60) /* {} */"
# The sleeper's own role may see it; what asks is not itself asleep.
ASLEEP = ("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND "
          "query LIKE '%{}%'")
# One setting that the server reports, one that it does not, and one that it does not know.
SETTINGS = {"timezone": "Asia/Kathmandu", "work_mem": "7MB", "rig.custom": "of this client"}


def check(got, wanted):
    if got != wanted:
        raise AssertionError(f"{_short(got)} instead of {_short(wanted)}")


def _short(value):
    text = repr(value)
    return text if len(text) < 120 else text[:100] + f"... ({len(text)})"


def main(scenarios):
    """`scenarios`: {name: function of the DSN, may be a coroutine function}."""
    dsn, names = sys.argv[1], sys.argv[2:]
    for name in names:
        try:
            outcome = scenarios[name](dsn)
            if inspect.isawaitable(outcome):
                asyncio.run(outcome)
            print(f"ok {name}", flush=True)
        except Exception as difference:  # noqa: BLE001 - it is the result
            text = " ".join(f"{type(difference).__name__}: {difference}".split())
            print(f"differs {name}: {text}", flush=True)
