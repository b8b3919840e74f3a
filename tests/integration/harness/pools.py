"""The same pool of server connections made by different programs, for tests of what a pool may do.

direct                 the server itself: a connection of its own for everybody, so nothing can leak
pgbouncer-transaction  known to leak what it says it leaks: shows that a test can fail
pgbraid-session, pgbraid-transaction

Everybody is superuser `postgres`, let in by trust: pools differ in what they do after that.
"""

from . import bouncer, proxy

PGBRAID = ["pgbraid-session", "pgbraid-transaction"]


def open_pool(kind, folder, server, size, io="io_uring", shards=2):
    """A running pool of at most `size` server connections per database (session mode: no bound)."""
    if kind == "direct":
        return proxy.Direct(server)
    if kind == "pgbouncer-transaction":
        return bouncer.Bouncer(folder, server, {"default_pool_size": size}).start()
    flags = []
    url = server.url()
    if kind == "pgbraid-transaction":
        url = server.url(user="postgres")
        flags = ["--pool-mode", "transaction", "--max-conns", str(size), "--auth", "trust"]
    return proxy.Proxy(folder, url, io, flags, shards).start()
