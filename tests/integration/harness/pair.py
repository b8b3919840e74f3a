"""A primary and a mirror with the proxy before them, and what the mirror's tests ask of the three.

Sessions end with a marker row: lanes keep a session's order, so once the marker stands on the
mirror, everything before it has been decided there.
"""

import itertools

from . import processes, wire

SCHEMA = ("CREATE TABLE t(id int PRIMARY KEY, v text); CREATE TABLE done(id int);"
          "CREATE TABLE n(id int, a int, b text)")
_markers = itertools.count(1)


class Pair:
    """A primary and a mirror with one database of the same name on both, and the proxy."""

    def __init__(self, primary, mirror, database):
        self.primary, self.mirror, self.database = primary, mirror, database
        self.target = None
        for server in (primary, mirror):
            if database not in server.databases():
                server.sql(f"CREATE DATABASE {database}")
            server.sql(SCHEMA, database)

    def session(self, **params):
        return self.target.login(self.database, **params)

    def on_primary(self, text):
        return self.primary.sql(text, self.database)

    def on_mirror(self, text):
        return self.mirror.sql(text, self.database)

    def ask(self, raw, *statements):
        """Simple queries one by one; the SQLSTATE or '' of each."""
        return [wire.first_error(raw.ask(text)).get("C", "") for text in statements]

    def finish(self, raw):
        """Waits until everything this session did has been decided on the mirror."""
        marker = next(_markers)
        assert self.ask(raw, f"INSERT INTO public.done VALUES ({marker})") == [""]
        processes.wait_until(
            lambda: self.on_mirror(f"SELECT 1 FROM done WHERE id = {marker}"),
            f"marker {marker} on the mirror; {self.counters()}")

    def kill(self):
        """The proxy, without a word. The kernel may hold the sockets of a dead process's ring a
        moment longer."""
        self.target.kill()
        processes.wait_until(lambda: not processes.accepts(self.target.port)
                             and not processes.accepts(self.target.admin_port),
                             "the ports to be free")

    def counters(self):
        samples = self.target.metrics()
        return {key: value for key, value in samples.items()
                if key.startswith("pgbraid_mirror_") and "_seconds" not in key}

    def settled(self):
        offered, *ends = (self.target.metric(f"pgbraid_mirror_{what}_total")
                          for what in ("offered", "delivered", "refused", "dropped"))
        return offered == sum(ends)

    def settle(self):
        processes.wait_until(self.settled, "offered == delivered + refused + dropped", 120)

    def check_equal(self, raw=None, without=()):
        if raw is not None:
            self.finish(raw)
        self.settle()
        assert (self.mirror.checksums(self.database, without)
                == self.primary.checksums(self.database, without)), self.counters()

    def dropped(self):
        return self.target.metric("pgbraid_mirror_dropped_total")

    def unknown(self):
        """Dropped units of which nobody can say whether they were applied."""
        return sum(value for key, value in self.target.metrics().items()
                   if key.startswith("pgbraid_mirror_dropped_total") and "unknown" in key)

    def check_equal_or_counted(self, table, without=()):
        """Equal, or the missing rows (one per transaction) are what the drop counters say."""
        self.settle()
        lost = self.dropped()
        missing = (self.on_primary(f"SELECT count(*) FROM {table}")[0][0]
                   - self.on_mirror(f"SELECT count(*) FROM {table}")[0][0])
        assert lost - self.unknown() <= missing <= lost, self.counters()
        assert self.target.metric("pgbraid_mirror_refused_total") == 0, self.counters()
        if lost == 0:
            self.check_equal(without=without)
