"""Random sessions for the mirror: a world of clients that know what the primary should hold.

A Client speaks the raw protocol and keeps a model of what it made, so that it knows which of its
statements should succeed. It works on tables of its own, on shared ones by updates that commute,
and on rows that one client hands to the next once its commit was acknowledged: all of it leaves
the same rows whatever order the mirror is free to choose. What it does is in `fidelity_kinds`.

`compare` says afterwards what differs between two servers.
"""

import collections
import random
import re
import threading

from . import wire
from .fidelity_kinds import Kinds
from .fidelity_session import SHARED_ROWS

SCHEMA = f"""
CREATE TABLE shared(id int PRIMARY KEY, x bigint NOT NULL DEFAULT 0);
INSERT INTO shared SELECT g FROM generate_series(0, {SHARED_ROWS - 1}) g;
CREATE TABLE relay(id int PRIMARY KEY, v text NOT NULL);
CREATE TABLE called(id int PRIMARY KEY, v text);
CREATE PROCEDURE call_insert(i int) LANGUAGE sql AS 'INSERT INTO public.called VALUES (i, ''c'')';
CREATE PROCEDURE call_commit(i int) LANGUAGE plpgsql AS $$BEGIN
  INSERT INTO public.called VALUES (i, 'kept'); COMMIT;
  INSERT INTO public.called VALUES (i + 1, 'left'); ROLLBACK;
  INSERT INTO public.called VALUES (i + 2, 'kept too'); END$$;
"""
_SESSIONS = """SELECT pid, application_name, state, now() - state_change, wait_event_type,
    wait_event, pg_blocking_pids(pid), left(query, 80)
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
ROLE = "DO $$BEGIN CREATE ROLE fidelity SUPERUSER; EXCEPTION WHEN duplicate_object THEN END$$"


class World:
    """What the clients of one run share: the budget of statements, the counts, the hand-overs."""

    def __init__(self, pair, seed, statements, clients, kills=False):
        self.pair, self.seed, self.kills = pair, seed, kills
        self.count = clients
        self.left = statements
        self.done = 0
        self.kinds = collections.Counter()     # actions begun
        self.meant = collections.Counter()     # (kind, should it succeed)
        self.as_meant = collections.Counter()
        self.surprises = collections.Counter()  # (kind, should it have succeeded, what came)
        self.killed = collections.Counter()
        self.handed = [collections.deque() for _ in range(clients)]
        self.faults = []
        self.sessions = []  # the primary's, at the first fault
        self._lock = threading.Lock()

    def more(self):
        return self.left > 0 and not self.faults

    def note(self, kind, want, error, statements):
        with self._lock:
            self.left -= statements
            self.done += statements
            self.meant[kind, want] += 1
            if want == (not error):
                self.as_meant[kind, want] += 1
            else:
                self.surprises[kind, want, error.get("C", ""),
                               re.sub("[0-9]+", "N", error.get("M", ""))[:60]] += 1

    def run(self, disturb=None):
        """All clients in threads until the statements are spent. `disturb` runs beside them in the
        caller's thread: a server dies with the thread that started it."""
        def guarded(work):
            try:
                work()
            except BaseException as fault:  # noqa: BLE001 - raised again below
                self.faults.append(fault)
                if self.faults[0] is fault:
                    self.sessions = self.pair.primary.sql(_SESSIONS)

        clients = [Client(self, number) for number in range(self.count)]
        threads = [threading.Thread(target=guarded, args=(client.run,)) for client in clients]
        for thread in threads:
            thread.start()
        if disturb:
            guarded(disturb)
        for thread in threads:
            thread.join()
        if self.faults:
            print("at the first fault, on the primary:", *self.sessions, sep="\n  ")
            raise AssertionError(f"seed {self.seed}") from self.faults[0]

    def share(self, want=True):
        """Of what should have succeeded (or failed), how much did."""
        whole = sum(count for (_, meant), count in self.meant.items() if meant == want)
        return sum(count for (_, meant), count in self.as_meant.items() if meant == want) / whole

    def report(self):
        lines = [f"seed {self.seed}: {self.done} statements; {self.share():.2%} of what should "
                 f"succeed did, {self.share(False):.2%} of what should fail; killed "
                 f"{dict(self.killed)}"]
        for kind in sorted(self.kinds):
            told = ", ".join(f"{self.as_meant[kind, want]} of {self.meant[kind, want]} {word}"
                             for want, word in ((True, "succeeded"), (False, "failed as meant"))
                             if self.meant[kind, want])
            lines.append(f"  {kind:20} {self.kinds[kind]:6} actions; {told}")
        lines += [f"  not as meant: {key} {count}" for key, count in self.surprises.items()]
        return "\n".join(lines)


class Model:
    """What a transaction may take back: what the session's objects are at this point."""

    def __init__(self, other=None):
        self.tables = list(other.tables) if other else []
        self.temps = list(other.temps) if other else []


class Client(Kinds):
    def __init__(self, world, number):
        self.world, self.number = world, number
        self.rnd = random.Random(f"{world.seed}/{number}")
        self.lives = 0
        self.last = 0
        self.raw = None
        self.kind = ""

    def run(self):
        self.begin_anew()
        while self.world.more():
            self.act()
        if self.status != "I":
            self.end("ROLLBACK")
        self.raw.shut()

    # -- the connection ---------------------------------------------------------------------------

    def begin_anew(self):
        """A new connection. What the last one had is left alone: its fate may be unknown."""
        self.lives += 1
        self.model = Model()
        self.base = None        # the model at BEGIN
        self.savepoints = []    # (name, model)
        self.sql_prepared = []
        self.named = {}         # of the protocol: name to number of parameters
        self.held = []          # rows handed to us and taken in the open transaction
        self.pledged = []       # rows to hand on when it commits
        self.status = "I"
        self.raw = self.world.pair.session(
            application_name=f"client {self.number}", DateStyle="ISO, MDY")
        self.prepare_own()

    def fresh(self):
        """A number that no other client and no earlier life of this one uses."""
        self.last += 1
        return (self.number + 1) * 10_000_000 + self.last

    def ask(self, *pieces, turns=1):
        self.raw.send(*pieces)
        frames = []
        for _ in range(turns):
            frames += self.raw.read_turn()
        self.status = wire.status(frames)
        return frames

    def tell(self, *pieces, want=True, turns=1, statements=1):
        """Sends, reads the turns, notes what came of it. The frames."""
        frames = self.ask(*pieces, turns=turns)
        self.world.note(self.kind, want, wire.first_error(frames), statements)
        return frames

    def say(self, text, want=True, way=None):
        """One statement, by any of the protocol's ways."""
        way = way or self.rnd.choice(("simple", "simple", "extended", "named", "apart"))
        if way == "simple":
            return self.tell(wire.query(text), want=want)
        if way == "extended":
            return self.tell(wire.one_shot(text), wire.SYNC, want=want)
        if way == "named":
            return self.tell(wire.close("S", "once"), wire.parse(text, "once"),
                             wire.bind(name="once"), wire.execute(), wire.SYNC, want=want)
        frames = self.ask(wire.parse(text), wire.SYNC)
        if not wire.first_error(frames):
            frames += self.ask(wire.bind(), wire.describe(), wire.execute(), wire.SYNC)
        self.world.note(self.kind, want, wire.first_error(frames), 1)
        return frames

    # -- transactions -----------------------------------------------------------------------------

    def keep(self):
        return Model(self.model)

    def savepoint(self, name):
        self.say(f"SAVEPOINT {name}")
        if self.status == "T":
            self.savepoints.append((name, self.keep()))

    def _innermost(self):
        """Of a name that savepoints have, the one PostgreSQL will take: its place."""
        name = self.rnd.choice(self.savepoints)[0]
        return max(at for at, (other, _) in enumerate(self.savepoints) if other == name)

    def rollback_to(self):
        at = self._innermost()
        name, model = self.savepoints[at]
        self.say(self.rnd.choice(("ROLLBACK TO", "ROLLBACK TO SAVEPOINT",
                                  "ROLLBACK WORK TO")) + f" {name}")
        self.model = Model(model)
        del self.savepoints[at + 1:]

    def release(self):
        at = self._innermost()
        self.say(f"RELEASE {self.savepoints[at][0]}")
        del self.savepoints[at:]

    def start(self, text="BEGIN"):
        self.say(text)
        self.opened()

    def opened(self):
        self.base = self.keep()
        self.savepoints = []

    def end(self, text):
        """COMMIT or ROLLBACK in any spelling; what came of it is what the server says."""
        self.ended([body for kind, body in self.say(text) if kind == "C"][-1:] == [b"COMMIT\0"],
                   chained=self.status == "T")

    def ended(self, committed, chained=False):
        if committed:
            for row, neighbour in self.pledged:
                self.world.handed[neighbour].append(row)
        else:
            self.model = self.base or self.model
            self.world.handed[self.number].extend(self.held)
        self.held, self.pledged = [], []
        self.savepoints = []
        self.base = self.keep() if chained else None

    def die(self, how):
        """Leaves in the middle: `idle` with nothing on its way, else with a statement sent."""
        self.world.killed[how] += 1
        if how == "in flight":
            table = self.rnd.choice(self.model.tables)
            self.raw.send(wire.query(f"INSERT INTO {table}(id, b) VALUES ({self.fresh()}, 'x')"))
        if how == "in commit":
            self.raw.send(wire.query("COMMIT"))
        if how == "idle":
            self.world.handed[self.number].extend(self.held)
        self.rnd.choice((self.raw.shut, self.raw.reset))()
        self.begin_anew()


# -- afterwards ----------------------------------------------------------------------------------


_CATALOGUE = {
    "tables": "SELECT n.nspname, c.relname, c.relkind::text, pg_get_userbyid(c.relowner), "
              "c.reloptions::text, obj_description(c.oid) FROM pg_class c JOIN pg_namespace n ON "
              "n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v', 'm', 'S', 'p')",
    "columns": "SELECT n.nspname, c.relname, a.attnum, a.attname, format_type(atttypid, atttypmod)"
               ", attnotnull, attisdropped, attidentity::text, pg_get_expr(d.adbin, d.adrelid) "
               "FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON "
               "n.oid = c.relnamespace LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = "
               "attnum WHERE attnum > 0 AND c.relkind IN ('r', 'v', 'm', 'p')",
    "indexes": "SELECT schemaname, tablename, indexname, indexdef FROM pg_indexes",
    "views": "SELECT schemaname, viewname, definition FROM pg_views",
    "constraints": "SELECT n.nspname, conrelid::regclass::text, conname, "
                   "pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_namespace n ON "
                   "n.oid = connamespace",
    "routines": "SELECT n.nspname, proname, prosrc FROM pg_proc p JOIN pg_namespace n ON "
                "n.oid = pronamespace",
    "types": "SELECT n.nspname, typname, typtype::text, (SELECT string_agg(enumlabel, ',' ORDER BY"
             " enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) FROM pg_type t JOIN "
             "pg_namespace n ON n.oid = typnamespace",
}
_OURS = ("SELECT * FROM ({}) q WHERE nspname NOT IN ('pg_catalog', 'information_schema', "
         "'pg_toast', 'pgbraid') AND nspname NOT LIKE 'pg_temp%' AND nspname NOT LIKE "
         "'pg_toast_temp%'")


def _rows(server, database, text):
    return collections.Counter(tuple(row) for row in server.sql(text, database))


def _catalogue(server, database, what):
    text = _CATALOGUE[what]
    if "nspname" not in text:
        text = f"SELECT schemaname AS nspname, * FROM ({text}) v"
    return _rows(server, database, _OURS.format(text))


def _difference(one, two):
    """Some of what only one of two multisets has."""
    return {"primary only": list((one - two).items())[:5],
            "mirror only": list((two - one).items())[:5]}


def compare(primary, mirror, database, without=()):
    """{name: what differs}: tables row by row, 'catalogue: ...', and 'sequence: ...'.

    `without`: columns that are fed by sequences, whose values failures on the primary use up.
    """
    differences = {}
    sums = [server.checksums(database, without) for server in (primary, mirror)]
    for table in sorted(set(sums[0]) | set(sums[1])):
        if sums[0].get(table) == sums[1].get(table):
            continue
        rows = [_rows(server, database, f"SELECT t::text FROM {table} t")
                if table in there else collections.Counter()
                for server, there in zip((primary, mirror), sums)]
        differences[table] = {"rows": [there.get(table, (None,))[0] for there in sums],
                              **_difference(*rows)}
    for what in _CATALOGUE:
        one, two = (_catalogue(server, database, what) for server in (primary, mirror))
        if one != two:
            differences[f"catalogue: {what}"] = _difference(one, two)
    last = ("SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences WHERE "
            "schemaname NOT LIKE 'pg_temp%'")
    one, two = (dict(server.sql(last, database)) for server in (primary, mirror))
    for name in sorted(set(one) | set(two)):
        if one.get(name) != two.get(name):
            differences[f"sequence: {name}"] = (one.get(name), two.get(name))
    return differences


def without_moved_sequences(pair, differences):
    """Without what is only there because what was undone has used values of sequences."""
    def moved(name):
        if name.startswith(("sequence: public.serial", "sequence: public.pin")):
            return True
        if not name.startswith("public.serial") or None in differences[name]["rows"]:
            return False
        one, two = columns_of_table(pair, name, ["b"])
        return one == two

    return {name: what for name, what in differences.items() if not moved(name)}


def columns_of_table(pair, table, columns):
    """Of both servers, the rows of a table cut down to some columns."""
    text = f"SELECT {', '.join(columns)} FROM {table}"
    return [_rows(server, pair.database, text) for server in (pair.primary, pair.mirror)]
