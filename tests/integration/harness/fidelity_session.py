"""What a client of harness.fidelity does with its session and with the other clients: settings,
prepared statements, cursors, temporary tables, locks, transactions, shared rows, hand-overs."""

from . import wire

SHARED_ROWS = 8
DEPTH = 5
_ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
_BEGINS = ("BEGIN", "BEGIN", "START TRANSACTION", "BEGIN WORK", "begin transaction",
           "BEGIN ISOLATION LEVEL READ COMMITTED", "/* so */ BEGIN")
_ENDS = ("COMMIT",) * 9 + ("END", "COMMIT WORK", "ROLLBACK", "ROLLBACK", "ABORT",
                           "COMMIT AND CHAIN", "ROLLBACK AND CHAIN")


class SessionKinds:
    # -- settings ---------------------------------------------------------------------------------

    def own_insert(self, value):
        """Into the table whose schema depends on search_path."""
        self.say(f"INSERT INTO {self.own} VALUES ({self.fresh()}, {value})")

    def do_setting(self):
        rnd = self.rnd
        text, value = rnd.choice((
            (f"SET TimeZone = '{rnd.choice(_ZONES)}'", "'2020-01-01 00:00+00'::timestamptz::text"),
            (f"SET TIME ZONE '{rnd.choice(_ZONES)}'", "'2020-01-01 00:00+00'::timestamptz::text"),
            (f"SET DateStyle TO 'ISO, {rnd.choice(('MDY', 'DMY'))}'", "'01/02/2020'::date::text"),
            (f"SET IntervalStyle = {rnd.choice(('postgres', 'iso_8601'))}",
             "'1 day'::interval::text"),
            (f"SET bytea_output = '{rnd.choice(('hex', 'escape'))}'", "'\\x0001'::bytea::text"),
            (f"SET extra_float_digits = {rnd.choice((0, 1, -5))}", "(1.0/3)::float8::text"),
            ("SET standard_conforming_strings = off", "'a\\\\b;c'"),
            ("SET standard_conforming_strings TO on", "'a\\b;c'"),
            (f"SET my.value = 'v{rnd.randrange(99)}'", "current_setting('my.value')"),
            (f"SELECT set_config('my.value', 'c{rnd.randrange(99)}', false)",
             "current_setting('my.value')"),
            ("RESET TimeZone", "current_setting('TimeZone')"),
            ("RESET DateStyle", "'01/02/2020'::date::text"),
            ("RESET ALL", "current_setting('TimeZone')")))
        self.say(text)
        self.own_insert(value)

    def do_set_local(self):
        self.say(f"SET LOCAL TimeZone = '{self.rnd.choice(_ZONES)}'")
        self.own_insert("'2020-01-01 00:00+00'::timestamptz::text")
        self.say("SELECT set_config('my.value', 'local', true)")
        self.own_insert("current_setting('my.value')")

    def do_search_path(self):
        paths = (f"{self.schema}, public", "public", f"public, {self.schema}", '"$user", public')
        self.say(f"SET search_path = {self.rnd.choice(paths)}")
        self.own_insert("'here'")
        self.say(f"UPDATE {self.own} SET b = md5(b) WHERE id % 3 = 1")

    def do_role(self):
        self.say(self.rnd.choice(("SET ROLE fidelity", "RESET ROLE", "SET ROLE none")))
        self.own_insert("current_user::text")

    def do_encoding(self):
        self.say("SET client_encoding = 'LATIN1'")
        text = f"INSERT INTO public.{self.own} VALUES ({self.fresh()}, 'caf\u00e9')"
        self.tell(wire.frame("Q", text.encode("latin-1") + b"\0"))
        self.say("SET client_encoding = 'UTF8'")

    def do_discard(self):
        what = self.rnd.choice(("ALL", "PLANS", "TEMP"))
        self.say(f"DISCARD {what}", way="simple")
        if what == "ALL":
            self.named, self.sql_prepared = {}, []
        if what != "PLANS":
            self.model.temps = []

    # -- prepared statements, blocks, procedures --------------------------------------------------

    def do_sql_prepared(self):
        rnd = self.rnd
        if len(self.sql_prepared) < 3:
            name = f"q{self.fresh()}"
            self.say(f"PREPARE {name}(int, text) AS INSERT INTO public.{self.own} VALUES ($1, $2)")
            if self.status == "E":
                return
            self.sql_prepared.append(name)
        name = rnd.choice(self.sql_prepared)
        self.say(f"EXECUTE {name}({self.fresh()}, 'by {rnd.randrange(9)}')")
        if rnd.random() < 0.3:
            self.say(f"DEALLOCATE {rnd.choice(('', 'PREPARE '))}{name}")
            if self.status != "E":
                self.sql_prepared.remove(name)

    def do_block(self):
        self.say(f"DO $x$BEGIN {self.one_text()}; IF false THEN RAISE 'no; no'; END IF; END$x$")

    def do_call(self):
        self.say(f"CALL call_insert({self.fresh()})")

    def do_call_commits(self):
        number = self.fresh()
        self.last += 2
        self.say(f"CALL call_commit({number})", way=self.rnd.choice(("simple", "extended")))

    # -- temporary tables, cursors, locks ---------------------------------------------------------

    def do_temporary(self):
        rnd = self.rnd
        if len(self.model.temps) < 2:
            name = f"tmp{self.fresh()}"
            # One that hides a permanent table makes its bare name mean something else.
            if rnd.random() < 0.2 and self.own not in self.model.temps:
                name = self.own
            self.say(f"CREATE TEMP TABLE {name}(id int, b text)")
            if self.status == "E":
                return
            self.model.temps.append(name)
        name = rnd.choice(self.model.temps)
        self.say(f"INSERT INTO {name} SELECT {self.fresh()}, 't' || g FROM generate_series(1, 4) g")
        self.say(f"INSERT INTO public.{self.own} SELECT id, b FROM pg_temp.{name}")
        if rnd.random() < 0.4:
            self.say(f"DROP TABLE pg_temp.{name}")
            if self.status != "E":
                self.model.temps.remove(name)

    def do_cursor(self):
        """Declared, read and left; what it does not do is write."""
        name = f"cur{self.fresh()}"
        self.say(f"DECLARE {name} {self.rnd.choice(('', 'SCROLL '))}CURSOR FOR SELECT id FROM "
                 f"{self.table()} ORDER BY id")
        self.say(f"FETCH 2 FROM {name}")
        self.say(f"MOVE FORWARD 1 IN {name}")
        if self.rnd.random() < 0.5:
            self.say(f"CLOSE {name}")

    def do_held_cursor(self):
        name = f"held{self.fresh()}"
        self.say(f"DECLARE {name} CURSOR WITH HOLD FOR SELECT id FROM {self.table()} ORDER BY id")
        self.say(f"FETCH 1 FROM {name}")
        self.say(f"CLOSE {name}")

    def do_advisory(self):
        key = 1000 + self.number
        self.say(f"SELECT pg_advisory_lock({key})")
        self.own_insert("'locked'")
        if self.status != "E":
            self.say(f"SELECT pg_advisory_unlock({key})")
            self.say(f"SELECT pg_advisory_xact_lock({key})")

    def do_deferred(self):
        """Fails at COMMIT, by twice the same key."""
        if self.rnd.random() < 0.3:
            number = self.fresh()
            self.say(f"INSERT INTO public.late{self.own} VALUES ({number}), ({number})")
            if self.rnd.random() < 0.5:
                self.say(f"DELETE FROM public.late{self.own} WHERE a = {number}")

    # -- sequences --------------------------------------------------------------------------------

    def do_sequence(self):
        """Values that are pinned before they are used, so that both servers give the same."""
        number = self.fresh()
        self.say(f"SELECT setval('public.pin{self.own}', {number})")
        self.say(f"INSERT INTO public.{self.own} VALUES (nextval('public.pin{self.own}'), 'next')")

    def do_sequence_alone(self):
        """Never within a transaction that may be undone, which the sequence itself would not be."""
        self.say(f"SELECT setval('public.alone{self.own}', {self.fresh()})")
        self.say(f"SELECT nextval('public.alone{self.own}')")
        self.own_insert(f"currval('public.alone{self.own}')::text")

    def do_serial(self):
        """Their own class: a failing insert uses up a value on the primary only."""
        table = f"public.serial{self.own}"
        self.say(f"INSERT INTO {table}(b) VALUES ('{self.fresh()}') RETURNING id")
        if self.rnd.random() < 0.2:
            self.tell(wire.query(f"INSERT INTO {table}(b) VALUES ('twice'), ('twice')"), want=False)

    # -- other clients ----------------------------------------------------------------------------

    def do_shared(self):
        row, step = self.rnd.randrange(SHARED_ROWS), self.rnd.randrange(1, 9)
        if self.rnd.random() < 0.7:
            self.say(f"UPDATE shared SET x = x + {step} WHERE id = {row}"
                     + self.rnd.choice(("", " RETURNING x")))
        else:
            self.say(f"INSERT INTO shared VALUES ({row}, 0) ON CONFLICT (id) DO UPDATE SET x = "
                     f"shared.x + {step}")

    def do_relay(self):
        """Changes a row that another client has handed over, then hands it on.

        Every step appends, so the row tells in which order they were applied.
        """
        handed = self.world.handed[self.number]
        if handed:
            row = handed.popleft()
            self.held.append(row)
            text = f"UPDATE public.relay SET v = v || ' {self.number}' WHERE id = {row}"
            if self.rnd.random() < 0.3:
                frames = self.say(f"SELECT v FROM public.relay WHERE id = {row}", way="simple")
                said = [wire.columns_of(body)[0] for kind, body in frames if kind == "D"]
                if said:
                    text = (f"UPDATE public.relay SET v = '{said[0].decode()[-200:]} "
                            f"{self.number}' WHERE id = {row}")
        else:
            row = self.fresh()
            text = f"INSERT INTO public.relay VALUES ({row}, '{self.number}')"
        self.say(text)
        self.pledged.append((row, self.rnd.randrange(self.world.count)))
        if self.status == "I":
            self.ended(committed=True)

    # -- transactions -----------------------------------------------------------------------------

    def do_savepoint(self):
        if len(self.savepoints) < DEPTH:
            self.savepoint(self.rnd.choice(("a", "b", "c", '"A b"', f"s{self.fresh()}")))

    def do_rollback_to(self):
        if self.savepoints:
            self.rollback_to()

    def do_release(self):
        if self.savepoints:
            self.release()

    def do_transaction(self):
        self.start(self.rnd.choice(_BEGINS))
        while True:
            self.body()
            if self.status == "T" and self.rnd.random() < 0.03:
                return self.die("idle")
            if self.world.kills and self.status == "T" and self.rnd.random() < 0.02:
                return self.die(self.rnd.choice(("in flight", "in commit")))
            self.kind = "transaction"
            self.end(self.rnd.choice(_ENDS))
            if self.status == "I":
                return None

    def body(self):
        for _ in range(self.rnd.choice((1, 2, 3, 5, 8, 14))):
            if self.status == "E":
                if not self.savepoints or self.rnd.random() < 0.2:
                    self.kind = "transaction"
                    self.say("SELECT 'ignored until the end'", want=False, way="simple")
                    return
                self.kind = "rollback_to"
                self.rollback_to()
            else:
                self.pick(self.inside)

    def do_two_phase(self):
        gid = f"gid {self.fresh()}"
        self.start()
        self.say(self.one_text())
        self.do_shared()
        self.say(self.one_text())
        self.say(f"PREPARE TRANSACTION '{gid}'")
        kept = self.rnd.random() < 0.6
        self.say(f"{'COMMIT' if kept else 'ROLLBACK'} PREPARED '{gid}'")
        self.ended(kept)
