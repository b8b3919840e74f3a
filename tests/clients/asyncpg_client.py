"""asyncpg: its own implementation of the protocol, binary and always prepared."""

import asyncio
import io
import re
import uuid

import asyncpg

from scenario import ASLEEP, BYTES, ROWS, SETTINGS, SLEEP, TEXT, WIDE, check, main


class opened:
    """async with opened(dsn) as connection"""

    def __init__(self, dsn):
        # It would send what it does not know to the server as a setting.
        self._dsn = re.sub(r"[?&]channel_binding=\w+", "", dsn)

    async def __aenter__(self):
        self._connection = await asyncpg.connect(self._dsn)
        return self._connection

    async def __aexit__(self, *_):
        await self._connection.close()


async def connect(dsn):
    async with opened(dsn) as connection:
        check(await connection.fetchval("SELECT 1"), 1)


async def simple(dsn):
    async with opened(dsn) as connection:
        check(await connection.execute("SELECT 1; SELECT 2"), "SELECT 1")


async def binary_parameters(dsn):
    async with opened(dsn) as connection:
        for n in range(12):
            row = await connection.fetchrow(
                "SELECT $1::text, $2::bytea, $3::int, $4::numeric, $5::int[], $6::text",
                TEXT, BYTES, n, n, [1, None, n], None)
            check(tuple(row), (TEXT, BYTES, n, n, [1, None, n], None))


async def prepared(dsn):
    async with opened(dsn) as connection:
        statements = [await connection.prepare(f"SELECT $1::int + {n}") for n in range(8)]
        for round_number in range(4):
            for n, statement in enumerate(statements):
                async with connection.transaction():
                    check(await statement.fetchval(round_number), round_number + n)
                check(await statement.fetchval(round_number), round_number + n)


async def cursors(dsn):
    async with opened(dsn) as connection:
        async with connection.transaction():
            total = 0
            async for row in connection.cursor("SELECT generate_series(1, 10000)", prefetch=100):
                total += row[0]
            check(total, 50_005_000)


async def pipeline(dsn):
    """executemany sends every Bind before it reads an answer."""
    async with opened(dsn) as connection:
        async with connection.transaction():
            await connection.execute("CREATE TEMP TABLE many(n int) ON COMMIT DROP")
            await connection.executemany("INSERT INTO many VALUES ($1)", [(n,) for n in range(999)])
            check(await connection.fetchval("SELECT sum(n) FROM many"), 498_501)


async def copy(dsn):
    rows = b"".join(b"%d\tvalue %d\n" % (n, n) for n in range(ROWS))
    async with opened(dsn) as connection:
        async with connection.transaction():
            await connection.execute("CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP")
            await connection.copy_to_table("copied", source=io.BytesIO(rows))
            back = io.BytesIO()
            await connection.copy_from_query("SELECT * FROM copied ORDER BY n", output=back)
            check(back.getvalue(), rows)


async def error(dsn):
    async with opened(dsn) as connection:
        for _ in range(3):
            transaction = connection.transaction()
            await transaction.start()
            for text, code in (("SELECT 1/$1::int", "22012"), ("SELECT $1::int", "25P02")):
                try:
                    await connection.fetchval(text, 0)
                    raise AssertionError(f"{text} went through")
                except asyncpg.PostgresError as refusal:
                    check(refusal.sqlstate, code)
            await transaction.rollback()
            check(await connection.fetchval("SELECT $1::int", 7), 7)


async def settings(dsn):
    async with opened(dsn) as connection:
        for key, value in SETTINGS.items():
            await connection.execute(f"SET {key} = '{value}'")
        for _ in range(20):
            for key, value in SETTINGS.items():
                check(await connection.fetchval(f"SHOW {key}"), value)
        check(connection.get_settings().TimeZone, SETTINGS["timezone"])


async def large_result(dsn):
    async with opened(dsn) as connection:
        rows = await connection.fetch(
            "SELECT n, repeat('x', 100) FROM generate_series(1, $1::int) n", ROWS)
        check(sum(row[0] for row in rows), ROWS * (ROWS + 1) // 2)
        check(len(await connection.fetchval("SELECT repeat('y', $1::int)", WIDE)), WIDE)


async def cancel(dsn):
    async with opened(dsn) as connection, opened(dsn) as watcher:
        name = uuid.uuid4().hex
        sleeper = asyncio.create_task(connection.execute(SLEEP.format(name)))
        while not sleeper.done() and not await watcher.fetchval(ASLEEP.format(name)):
            pass
        sleeper.cancel()
        try:
            await sleeper
            raise AssertionError("the sleep ended by itself")
        except asyncio.CancelledError:
            pass
        check(await connection.fetchval("SELECT 5"), 5)
        # It let go of the query only if the server did.
        check(await watcher.fetchval(ASLEEP.format(name)), 0)


async def listen(dsn):
    async with opened(dsn) as connection, opened(dsn) as teller:
        heard = asyncio.get_running_loop().create_future()
        await connection.add_listener("rig", lambda *event: heard.set_result(event[3]))
        await teller.execute("NOTIFY rig, 'news'")
        check(await asyncio.wait_for(heard, 30), "news")


if __name__ == "__main__":
    main({"connect": connect, "simple": simple, "binary_parameters": binary_parameters,
          "prepared": prepared, "cursors": cursors, "pipeline": pipeline, "copy": copy,
          "error": error, "settings": settings, "large_result": large_result, "cancel": cancel,
          "listen": listen})
