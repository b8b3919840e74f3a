"""What pgbraid can do by now. Tests of a feature that is not here yet are not made at all.

PGBRAID_TEST_FEATURES=auth,tls adds some, to try a branch before it lands.
"""

import os

KNOWN = {
    "pass-through": "the client's own login goes on to the server; one server connection each",
    "auth": "users file, HBA file, --auth; a login of its own at the server",
    "tls": "both legs, by SSLRequest",
    "direct-tls": "both legs, without SSLRequest",
    "pooling": "transaction mode, --max-conns",
}
_ADDED = os.environ.get("PGBRAID_TEST_FEATURES", "").split(",")
LANDED = set(KNOWN)
assert LANDED <= set(KNOWN), f"PGBRAID_TEST_FEATURES: known are {', '.join(KNOWN)}"
