"""What a client of harness.fidelity does: one method `do_...` for each kind of action.

Every statement is deterministic: it gives the same rows on a mirror that has run what came before
it in its session and what its client could know of others. Numbers come from `fresh`, so that two
clients never fight for a row, but for `shared`, where updates commute.
"""

from . import fidelity_values, wire
from .fidelity_session import SessionKinds

_COLUMNS = ("(id int PRIMARY KEY, a int NOT NULL DEFAULT 0, b text, c numeric(12,3) CHECK (c >= 0),"
            " d date, t timestamptz, j jsonb)")
# Weights. What is done between transactions, and what within them.
ANYWHERE = {"insert": 6, "update": 6, "delete": 3, "upsert": 3, "writing_cte": 2, "merge": 1,
            "several": 6, "fail": 4, "binary": 4, "pipeline": 6, "copy": 5, "copy_fails": 2,
            "create": 2, "alter": 2, "drop": 1, "index": 1, "view": 1, "truncate": 1, "made_as": 1,
            "setting": 4, "search_path": 3, "sql_prepared": 3, "named": 4, "temporary": 3,
            "advisory": 2, "block": 2, "call": 2, "sequence": 3, "shared": 5, "relay": 6,
            "read": 3, "large": 1, "explain": 1, "portal": 3, "type": 1, "encoding": 1}
OUTSIDE = {**ANYWHERE, "transaction": 70, "commits_inside": 3, "concurrently": 1, "vacuum": 1,
           "call_commits": 1, "two_phase": 2, "discard": 1, "role": 1, "serial": 3,
           "held_cursor": 2, "sequence_alone": 2}
INSIDE = {**ANYWHERE, "savepoint": 14, "rollback_to": 8, "release": 5, "cursor": 5,
          "set_local": 4, "deferred": 2}

class Kinds(SessionKinds):
    # -- choosing ---------------------------------------------------------------------------------

    def pick(self, weights, without=()):
        names = [name for name in weights if name not in without]
        self.kind = self.rnd.choices(names, [weights[name] for name in names])[0]
        self.world.kinds[self.kind] += 1
        getattr(self, "do_" + self.kind)()

    inside = INSIDE

    def act(self):
        self.pick(OUTSIDE)

    def table(self):
        return self.rnd.choice(self.model.tables)

    def prepare_own(self):
        self.kind = "create"
        own = f"own{self.number}_{self.lives}"
        schema = f"s{self.number}_{self.lives}"
        self.own, self.schema = own, schema
        kinds = f"types{self.number}_{self.lives}"
        self.types = f"public.{kinds}"
        for text in (f"CREATE SCHEMA {schema}", f"CREATE TABLE public.{own}(id int, b text)",
                     f"CREATE TABLE {schema}.{own}(id int, b text)",
                     f"CREATE TABLE {self.types}({fidelity_values.columns()})",
                     f"CREATE TABLE public.serial{own}(id serial, b text UNIQUE)",
                     f"CREATE SEQUENCE public.pin{own}", f"CREATE SEQUENCE public.alone{own}",
                     f"CREATE TABLE public.late{own}(a int UNIQUE DEFERRABLE INITIALLY DEFERRED)"):
            self.say(text, way="simple")
        self.create_table()

    def create_table(self):
        name = f"public.c{self.fresh()}"
        rest = f"INSERT INTO {name}(id, b) VALUES (0, 'first')"
        if self.rnd.random() < 0.5:
            self.tell(wire.query(f"CREATE TABLE {name}{_COLUMNS}; {rest}"), statements=2)
        else:
            self.say(f"CREATE TABLE {name}{_COLUMNS}")
            self.say(rest)
        if self.status != "E":
            self.model.tables.append(name)

    def values(self):
        """For (id, a, b, c, d, t, j), as literals."""
        rnd, number = self.rnd, self.fresh()
        text = rnd.choice(("NULL", "'plain'", "'it''s; not'", "$q$a;b$q$", "E'a\\\\b\\'c'", "'--x'",
                           "U&'\\0041'", "repeat('long', 200)"))
        return (f"({number}, {rnd.randrange(1000)}, {text}, {rnd.randrange(10 ** 6)}.125, "
                f"'2020-0{rnd.randrange(1, 9)}-11', '2021-03-04 05:06:07+00', "
                f"'{{\"k\": [{rnd.randrange(9)}, null]}}')")

    # -- single statements ------------------------------------------------------------------------

    def insert_text(self, rows=1):
        return (f"INSERT INTO {self.table()}(id, a, b, c, d, t, j) VALUES "
                + ", ".join(self.values() for _ in range(rows)))

    def update_text(self):
        return (f"UPDATE {self.table()} SET a = (a * 3 + 7) % 1000, b = md5(coalesce(b, '') || "
                f"'{self.rnd.randrange(9)}') WHERE id % 3 = {self.rnd.randrange(3)}")

    def one_text(self):
        return self.rnd.choice((self.insert_text, self.update_text))()

    def do_insert(self):
        lead = self.rnd.choice(("", "", "-- led by a comment\n", "/* by /* two */; */ "))
        tail = self.rnd.choice(("", " RETURNING *", " RETURNING id", ";"))
        self.say(lead + self.insert_text(self.rnd.choice((1, 1, 1, 12))) + tail)

    def do_update(self):
        self.say(self.update_text() + self.rnd.choice(("", " RETURNING a, b")))

    def do_delete(self):
        self.say(f"DELETE FROM {self.table()} WHERE id > 0 AND id % 7 = {self.rnd.randrange(7)}"
                 + self.rnd.choice(("", " RETURNING id")))

    def do_upsert(self):
        self.say(self.insert_text() + " ON CONFLICT (id) DO NOTHING")
        self.say(f"INSERT INTO {self.table()}(id, b) VALUES (0, 'again') ON CONFLICT (id) DO "
                 "UPDATE SET a = (EXCLUDED.a + 5) % 1000, b = md5(EXCLUDED.b)")

    def do_writing_cte(self):
        one, two = self.table(), self.table()
        self.say(f"WITH gone AS (DELETE FROM {one} WHERE id > 0 AND id % 5 = 1 RETURNING id, b) "
                 f"INSERT INTO {two}(id, b) SELECT id, 'moved' FROM gone ON CONFLICT DO NOTHING")

    def do_merge(self):
        self.say(f"MERGE INTO {self.table()} t USING (VALUES (0), ({self.fresh()})) s(id) ON "
                 "t.id = s.id WHEN MATCHED THEN UPDATE SET a = (a + 1) % 1000 WHEN NOT MATCHED "
                 "THEN INSERT (id, b) VALUES (s.id, 'merged')")

    def do_explain(self):
        self.say(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {self.one_text()}")

    def do_large(self):
        self.say(f"INSERT INTO {self.table()}(id, b) VALUES ({self.fresh()}, '{'x;' * 60_000}')")

    def do_read(self):
        self.say(f"SELECT count(*), max(b) FROM {self.table()}")
        self.say("SHOW search_path")

    def failing(self):
        table = self.table()
        return self.rnd.choice((
            f"INSERT INTO {table}(id) VALUES (0)", f"INSERT INTO {table}(id, a) VALUES (1, 'no')",
            f"UPDATE {table} SET a = a / 0 WHERE id = 0", "INSERT INTO no_such VALUES (1)",
            f"INSERT INTO {table}(id, c) VALUES ({self.fresh()}, -1)", "SELEC 1",
            f"INSERT INTO {table}(id, a) VALUES ({self.fresh()}, NULL)", "EXECUTE no_such",
            f"CREATE TABLE {table}(x int)", "DROP TABLE no_such", "SET no_such_setting = 1",
            f"INSERT INTO {table}(id, j) VALUES ({self.fresh()}, '{{')"))

    def do_fail(self):
        self.say(self.failing(), want=False)

    # -- several statements at once ---------------------------------------------------------------

    def do_several(self):
        texts = [self.one_text() for _ in range(self.rnd.randrange(2, 5))]
        fails = self.rnd.random() < 0.3
        if fails:
            texts.insert(self.rnd.randrange(len(texts) + 1), self.failing())
        self.tell(wire.query("; ".join(texts)), want=not fails, statements=len(texts))

    def do_commits_inside(self):
        """Transaction control within one Query, with and without BEGIN before it."""
        one, two, three = (self.one_text() for _ in range(3))
        bad = self.failing()
        text, want = self.rnd.choice((
            (f"{one}; COMMIT; {two}", True), (f"{one}; ROLLBACK; {two}", True),
            (f"BEGIN; {one}; COMMIT; {two}; {three}", True), (f"{one}; BEGIN; {two}; COMMIT", True),
            (f"BEGIN; {one}; ROLLBACK; {two}", True),
            (f"BEGIN; {one}; COMMIT; {two}; {bad}", False),
            (f"BEGIN; {one}; SAVEPOINT q; {two}; ROLLBACK TO q; {three}; COMMIT", True),
            (f"{one}; COMMIT AND CHAIN; {two}", False), (f"BEGIN; {one}; COMMIT AND CHAIN; {two}; "
                                                         f"ROLLBACK; {three}", True),
            (f"{one}; BEGIN; {two}", True), (f"BEGIN; {one}; {bad}; COMMIT", False)))
        self.tell(wire.query(text), want=want, statements=text.count(";") + 1)
        if self.status != "I":
            self.opened()
            self.end(self.rnd.choice(("COMMIT", "ROLLBACK", "END", "ABORT")))

    def do_pipeline(self):
        """Several extended statements, one or two Syncs, perhaps an error, perhaps a block."""
        rnd = self.rnd
        texts = [self.one_text() for _ in range(rnd.randrange(2, 6))]
        fails = rnd.random() < 0.35
        if fails:
            texts.insert(rnd.randrange(len(texts) + 1), self.failing())
        block = self.status == "I" and not fails and rnd.random() < 0.3
        if block:
            texts = ["BEGIN", *texts, rnd.choice(("COMMIT", "ROLLBACK"))]
        pieces = [wire.parse(texts[0], "") + wire.bind() + wire.execute()]
        pieces += [wire.one_shot(text) for text in texts[1:]]
        syncs = 1
        if self.status == "I" and not block and rnd.random() < 0.4:
            pieces.insert(rnd.randrange(1, len(pieces)), wire.SYNC)
            syncs = 2
        if rnd.random() < 0.3:
            pieces.insert(rnd.randrange(len(pieces)), wire.FLUSH)
        self.tell(*pieces, wire.SYNC, want=not fails, turns=syncs, statements=len(texts))

    def do_named(self):
        """Statements of the protocol under names that are used again, and closed."""
        rnd, named = self.rnd, self.named
        name = f"n{rnd.randrange(4)}"
        if name not in named:
            # The second text is everybody's, as that of an application's clients is.
            text = rnd.choice((f"INSERT INTO public.{self.own} VALUES ($1, $2)",
                               "INSERT INTO public.called VALUES ($1, $2)",
                               f"UPDATE public.{self.own} SET b = md5(b || $2) WHERE id > $1"))
            self.tell(wire.parse(text, name, rnd.choice(((), (23, 25)))), wire.SYNC, statements=0)
            named[name] = 2
        elif rnd.random() < 0.2:
            self.tell(wire.close("S", name), wire.SYNC, statements=0)
            del named[name]
            return
        elif rnd.random() < 0.1:
            self.tell(wire.parse("SELECT 1", name), wire.SYNC, want=False, statements=0)
            return
        if self.status == "E":
            return
        pieces = []
        for _ in range(rnd.randrange(1, 4)):
            number = self.fresh()
            binary = rnd.random() < 0.5
            first = number.to_bytes(4, "big") if binary else str(number)
            pieces.append(wire.bind([first, rnd.choice(("-5", "NULL", "it's", None))], name=name,
                                    formats=(int(binary), 0)) + wire.execute())
        self.tell(*pieces, wire.SYNC, statements=len(pieces))

    def do_binary(self):
        rnd = self.rnd
        values = fidelity_values.row(rnd, self.fresh())
        places = ", ".join(f"${at + 1}" for at in range(len(values)))
        self.tell(wire.parse(f"INSERT INTO {self.types} VALUES ({places})"),
                  wire.bind(values, formats=[1]), wire.execute(), wire.SYNC)

    def do_portal(self):
        """A portal that is asked for its rows in parts; perhaps it is left half-way."""
        rnd, text = self.rnd, self.insert_text(6) + " RETURNING id"
        if rnd.random() < 0.4:
            text = f"SELECT nextval('public.pin{self.own}') FROM generate_series(1, 7)"
        parts = [wire.execute("p", rows=2) for _ in range(rnd.randrange(1, 4))]
        if rnd.random() < 0.5:
            parts.append(wire.execute("p"))
        self.tell(wire.parse(text), wire.bind(portal="p"), *parts, wire.close("P", "p"), wire.SYNC)

    # -- COPY -------------------------------------------------------------------------------------

    def copy(self, head, data, want=True, end=wire.COPY_DONE):
        cut = self.rnd.randrange(len(data) + 1)
        data = wire.copy_data(data[:cut]) + wire.copy_data(data[cut:]) + end
        if self.rnd.random() < 0.5:
            self.tell(wire.query(head), data, want=want)
        else:
            self.tell(wire.parse(head), wire.bind(), wire.execute(), data, wire.SYNC, want=want)

    def do_copy(self):
        table, rows = self.table(), self.rnd.choice((0, 1, 5, 200))
        how = self.rnd.choice(("text", "csv", "binary", "types", "where", "several"))
        if how == "types":
            rows = [fidelity_values.row(self.rnd, self.fresh()) for _ in range(3)]
            self.copy(f"COPY {self.types} FROM STDIN (FORMAT binary)",
                      fidelity_values.copy_binary(rows))
        elif how == "binary":
            rows = [[self.fresh().to_bytes(4, "big"), b"\\N"] for _ in range(rows)]
            self.copy(f"COPY {table}(id, b) FROM STDIN BINARY", fidelity_values.copy_binary(rows))
        elif how == "csv":
            lines = "".join(f'{self.fresh()},"a\n,""b"\n' for _ in range(rows))
            self.copy(f"COPY {table}(id, b) FROM STDIN (FORMAT csv, HEADER)",
                      b"id,b\n" + lines.encode())
        elif how == "several":
            line = wire.copy_data(f"{self.fresh()}\tone\n".encode()) + wire.COPY_DONE
            head = f"COPY {table}(id, b) FROM STDIN"
            self.tell(wire.query(f"{self.one_text()}; {head}; {self.one_text()}"), line,
                      statements=3)
        else:
            lines = "".join(f"{self.fresh()}\t\\N\n{self.fresh()}\ta\\tb\n" for _ in range(rows))
            where = " WHERE id % 2 = 0" if how == "where" else ""
            self.copy(f"COPY {table}(id, b) FROM STDIN{where}", lines.encode())

    def do_copy_fails(self):
        head = f"COPY {self.table()}(id, b) FROM STDIN"
        good = f"{self.fresh()}\tgood\n".encode()
        if self.rnd.random() < 0.5:
            self.copy(head, good + self.rnd.choice((b"x\ty\n", b"0\ttwice\n", b"1\n")), want=False)
        else:
            self.copy(head, good, want=False, end=wire.copy_fail())

    # -- DDL --------------------------------------------------------------------------------------

    def do_create(self):
        if len(self.model.tables) < 6:
            self.create_table()
        else:
            self.do_drop()

    def do_drop(self):
        if len(self.model.tables) > 1:
            name = self.table()
            self.say(f"DROP TABLE {name} CASCADE")
            if self.status != "E":
                self.model.tables.remove(name)

    def do_alter(self):
        table, number = self.table(), self.fresh()
        self.say(f"ALTER TABLE {table} ADD e{number} int DEFAULT {number % 100}")
        self.say(f"ALTER TABLE {table} " + self.rnd.choice((
            f"DROP COLUMN e{number}", f"RENAME e{number} TO f{number}",
            f"ALTER e{number} TYPE bigint", f"ALTER e{number} SET NOT NULL")))
        self.say(f"COMMENT ON TABLE {table} IS 'altered {number}'")

    def do_index(self):
        table, number = self.table(), self.fresh()
        self.say(f"CREATE INDEX i{number} ON {table}(a, b)")
        if self.rnd.random() < 0.5:
            self.say(f"DROP INDEX public.i{number}")

    def do_view(self):
        table, name = self.table(), f"public.v{self.fresh()}"
        materialized = self.rnd.random() < 0.5
        if not materialized:
            self.say(f"CREATE VIEW {name} AS SELECT id, b FROM {table}")
            self.say(f"UPDATE {name} SET b = md5(b) WHERE id % 4 = 1")
        else:
            self.say(f"CREATE MATERIALIZED VIEW {name} AS SELECT id, b FROM {table}")
            self.say(self.update_text())
            self.say(f"REFRESH MATERIALIZED VIEW {name}")
        if self.rnd.random() < 0.5:
            kind = "MATERIALIZED VIEW" if materialized else "VIEW"
            self.say(f"DROP {kind} {name}")

    def do_truncate(self):
        table = self.table()
        self.tell(wire.query(f"TRUNCATE {table}; INSERT INTO {table}(id) VALUES (0)"), statements=2)

    def do_made_as(self):
        name = f"public.m{self.fresh()}"
        if self.rnd.random() < 0.5:
            self.say(f"CREATE TABLE {name} AS SELECT id, b FROM {self.table()}")
        else:
            self.say(f"SELECT id, b INTO {name} FROM {self.table()}")
        if self.rnd.random() < 0.7:
            self.say(f"DROP TABLE {name}")

    def do_type(self):
        number = self.fresh()
        self.say(f"CREATE TYPE public.mood{number} AS ENUM ('low', 'high')")
        self.say(f"CREATE TABLE public.c_mood{number}(m public.mood{number}, d int)")
        self.tell(wire.parse(f"INSERT INTO public.c_mood{number} VALUES ($1, $2)"),
                  wire.bind(["high", "1"]), wire.execute(), wire.SYNC)

    def do_concurrently(self):
        number = self.fresh()
        self.say(f"CREATE INDEX CONCURRENTLY i{number} ON {self.table()}(a)")

    def do_vacuum(self):
        self.say(f"VACUUM {self.table()}")
        self.say(f"ANALYZE {self.table()}")
