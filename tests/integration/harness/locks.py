"""A query that lasts as long as a test wants."""

from .processes import wait_until


class RowLock:
    """Holds up whoever updates table `t`, until it is let go."""

    def __init__(self, server, database):
        server.sql("CREATE TABLE IF NOT EXISTS t (x int)", database)
        server.sql("INSERT INTO t SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM t)", database)
        self._server, self._database = server, database
        self._holder = server.connect(database)
        self._holder.cursor().execute("BEGIN; UPDATE t SET x = x")

    def wait_for(self, count=1):
        wait_until(lambda: self._server.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
            args=(self._database,)) == count, f"{count} to wait for the lock")

    def let_go(self):
        self._holder.close()
