"""psycopg2: libpq with simple queries, client-side parameters and server-side cursors."""

import io
import threading
import uuid

import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions

from scenario import ASLEEP, BYTES, ROWS, SETTINGS, SLEEP, TEXT, WIDE, check, main


def one(connection, text, values=None):
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchone()[0]


def opened(dsn, autocommit=True):
    connection = psycopg2.connect(dsn)
    connection.autocommit = autocommit
    return connection


def connect(dsn):
    connection = opened(dsn)
    check(one(connection, "SELECT 1"), 1)
    check(connection.get_parameter_status("client_encoding"), "UTF8")
    connection.close()


def simple(dsn):
    connection = opened(dsn)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2, NULL; SELECT 'three'")
        check(cursor.fetchall(), [("three",)])
        cursor.execute("SELECT %s, %s, %s", (TEXT, psycopg2.Binary(BYTES), None))
        text, data, null = cursor.fetchone()
        check((text, bytes(data), null), (TEXT, BYTES, None))
    connection.close()


def cursors(dsn):
    connection = opened(dsn, autocommit=False)
    with connection.cursor("rig") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT n FROM generate_series(1, 10000) n")
        check(sum(n for (n,) in cursor), 50_005_000)
    connection.commit()
    connection.close()


def copy(dsn):
    connection = opened(dsn, autocommit=False)
    rows = "".join(f"{n}\tvalue {n}\n" for n in range(ROWS))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied(n int, v text) ON COMMIT DROP")
        cursor.copy_expert("COPY copied FROM STDIN", io.StringIO(rows))
        back = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", back)
        check(back.getvalue(), rows)
    connection.commit()
    connection.close()


def error(dsn):
    connection = opened(dsn, autocommit=False)
    for text, code in (("SELECT 1/0", "22012"), ("SELEC", "42601")):
        try:
            one(connection, text)
        except psycopg2.Error as refusal:
            check(refusal.pgcode, code)
        try:
            one(connection, "SELECT 1")
            raise AssertionError("a failed transaction went on")
        except psycopg2.Error as refusal:
            check(refusal.pgcode, psycopg2.errorcodes.IN_FAILED_SQL_TRANSACTION)
        connection.rollback()
        check(one(connection, "SELECT 7"), 7)
        connection.commit()
    connection.close()


def settings(dsn):
    connection = opened(dsn, autocommit=False)
    for key, value in SETTINGS.items():
        one(connection, "SELECT set_config(%s, %s, false)", (key, value))
        connection.commit()
    for _ in range(20):
        for key, value in SETTINGS.items():
            check(one(connection, f"SHOW {key}"), value)
        connection.commit()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '9MB'")
        connection.commit()
    check(one(connection, "SHOW work_mem"), SETTINGS["work_mem"])
    connection.close()


def large_result(dsn):
    connection = opened(dsn)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT n, repeat('x', 100) FROM generate_series(1, {ROWS}) n")
        check(sum(n for n, _ in cursor), ROWS * (ROWS + 1) // 2)
    check(len(one(connection, f"SELECT repeat('y', {WIDE})")), WIDE)
    connection.close()


def cancel(dsn):
    connection, watcher = opened(dsn), opened(dsn)
    name = uuid.uuid4().hex
    outcome = []

    def be_cancelled():
        try:
            one(connection, SLEEP.format(name))
        except psycopg2.Error as refusal:
            outcome.append(refusal.pgcode)

    sleeper = threading.Thread(target=be_cancelled)
    sleeper.start()
    while sleeper.is_alive() and not one(watcher, ASLEEP.format(name)):
        pass
    connection.cancel()
    sleeper.join()
    check(outcome, ["57014"])
    check(one(connection, "SELECT 5"), 5)
    connection.close()
    watcher.close()


def listen(dsn):
    connection, teller = opened(dsn), opened(dsn)
    with connection.cursor() as cursor:
        cursor.execute("LISTEN rig")
    with teller.cursor() as cursor:
        cursor.execute("NOTIFY rig, 'news'")
    while not connection.notifies:
        check(one(connection, "SELECT 1"), 1)
    check(connection.notifies[0].payload, "news")
    connection.close()
    teller.close()


if __name__ == "__main__":
    main({"connect": connect, "simple": simple, "cursors": cursors, "copy": copy, "error": error,
          "settings": settings, "large_result": large_result, "cancel": cancel, "listen": listen})
