"""psycopg 3: libpq's extended protocol, text and binary, prepared statements, pipelines."""

import threading
import uuid

import psycopg
from psycopg import errors

from scenario import ASLEEP, BYTES, ROWS, SETTINGS, SLEEP, TEXT, WIDE, check, main


def opened(dsn, autocommit=True):
    return psycopg.connect(dsn, autocommit=autocommit)


def one(connection, text, values=None, **more):
    return connection.execute(text, values, **more).fetchone()[0]


def connect(dsn):
    with opened(dsn) as connection:
        check(one(connection, "SELECT 1"), 1)
        if "channel_binding=require" in dsn:
            check(connection.pgconn.used_password, True)


def simple(dsn):
    with opened(dsn) as connection:
        cursor = connection.execute("SELECT 1; SELECT 2, NULL; SELECT 'three'")
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
        check(results, [[(1,)], [(2, None)], [("three",)]])


def parameters(dsn, binary):
    with opened(dsn) as connection:
        cursor = connection.cursor(binary=binary)
        kind = "b" if binary else "t"
        marks = ", ".join(f"%{kind}" for _ in range(4))
        for round_number in range(12):  # prepared by itself from the fifth time on
            cursor.execute(f"SELECT {marks}", (TEXT, BYTES, round_number, None))
            check(cursor.fetchone(), (TEXT, BYTES, round_number, None))


def text_parameters(dsn):
    parameters(dsn, binary=False)


def binary_parameters(dsn):
    parameters(dsn, binary=True)


def prepared(dsn):
    """Named statements, in and out of transactions, more of them than a session keeps."""
    with opened(dsn) as connection:
        connection.prepare_threshold = 0
        connection.prepared_max = 5
        for round_number in range(4):
            for variant in range(8):
                text = f"SELECT %s::int + {variant}"
                with connection.transaction():
                    check(one(connection, text, (round_number,)), round_number + variant)
                check(one(connection, text, (round_number,)), round_number + variant)


def unnamed(dsn):
    with opened(dsn) as connection:
        for n in range(20):
            check(one(connection, "SELECT %s::int * 2", (n,), prepare=False), 2 * n)


def pipeline(dsn):
    with opened(dsn) as connection:
        with connection.pipeline() as pipe:
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(200)]
            pipe.sync()
            check([cursor.fetchone()[0] for cursor in cursors], list(range(200)))
        try:
            with connection.pipeline() as pipe:
                connection.execute("SELECT 1")
                connection.execute("SELECT 1/0")
                after = connection.execute("SELECT 2")
                pipe.sync()
                after.fetchone()
            raise AssertionError("what follows an error was run")
        except (errors.DivisionByZero, errors.PipelineAborted):
            pass
        check(one(connection, "SELECT 3"), 3)


def copy(dsn):
    with opened(dsn, autocommit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP")
        with cursor.copy("COPY copied FROM STDIN (FORMAT binary)") as rows:
            rows.set_types(["int4", "text"])
            for n in range(ROWS):
                rows.write_row((n, f"value {n}"))
        with cursor.copy("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT") as rows:
            check(b"".join(rows), b"".join(b"%d\tvalue %d\n" % (n, n) for n in range(ROWS)))
        connection.commit()
        try:
            with cursor.copy("COPY pg_class FROM STDIN") as rows:
                rows.write("no row")
            raise AssertionError("COPY into the catalogue went through")
        except psycopg.Error:
            connection.rollback()
        check(one(connection, "SELECT 1"), 1)


def error(dsn):
    with opened(dsn, autocommit=False) as connection:
        for _ in range(3):
            try:
                one(connection, "SELECT 1/%s", (0,))
            except psycopg.Error as refusal:
                check(refusal.sqlstate, "22012")
            try:
                one(connection, "SELECT %s::int", (1,))
                raise AssertionError("a failed transaction went on")
            except psycopg.Error as refusal:
                check(refusal.sqlstate, "25P02")
            connection.rollback()
            check(one(connection, "SELECT %s::int", (7,)), 7)
            connection.commit()


def settings(dsn):
    with opened(dsn) as connection:
        for key, value in SETTINGS.items():
            connection.execute(f"SET {key} = '{value}'")
        for _ in range(20):
            for key, value in SETTINGS.items():
                check(one(connection, f"SHOW {key}"), value)
        check(connection.info.parameter_status("TimeZone"), SETTINGS["timezone"])


def large_result(dsn):
    with opened(dsn) as connection:
        rows = connection.execute(
            "SELECT n, repeat('x', 100) FROM generate_series(1, %s) n", (ROWS,), binary=True)
        check(sum(n for n, _ in rows), ROWS * (ROWS + 1) // 2)
        check(len(one(connection, "SELECT repeat('y', %s)", (WIDE,))), WIDE)


def cancel(dsn):
    with opened(dsn) as connection, opened(dsn) as watcher:
        name = uuid.uuid4().hex
        outcome = []

        def be_cancelled():
            try:
                one(connection, SLEEP.format(name))
            except psycopg.Error as refusal:
                outcome.append(refusal.sqlstate)

        sleeper = threading.Thread(target=be_cancelled)
        sleeper.start()
        while sleeper.is_alive() and not one(watcher, ASLEEP.format(name)):
            pass
        connection.cancel()
        sleeper.join()
        check(outcome, ["57014"])
        check(one(connection, "SELECT 5"), 5)


def listen(dsn):
    with opened(dsn) as connection, opened(dsn) as teller:
        connection.execute("LISTEN rig")
        teller.execute("SELECT pg_notify('rig', %s)", ("news",))
        check(next(connection.notifies()).payload, "news")


if __name__ == "__main__":
    main({"connect": connect, "simple": simple, "text_parameters": text_parameters,
          "binary_parameters": binary_parameters, "prepared": prepared, "unnamed": unnamed,
          "pipeline": pipeline, "copy": copy, "error": error, "settings": settings,
          "large_result": large_result, "cancel": cancel, "listen": listen})
