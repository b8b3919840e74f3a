"""PostgreSQL 18, which Debian 12 has not: direct TLS, protocol 3.2, long cancel keys.

tools/fetch_npm brings it once, into the repository's build-deps. A machine that cannot reach npm
fails every test that asks for it, with npm's own words.
"""

import os
import shutil

from . import processes

_REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def fetched():
    """The folder with bin, lib and share."""
    done = processes.run([os.path.join(_REPOSITORY, "tools", "fetch_npm"), "postgres-18"],
                         check=False, timeout=600)
    assert done.returncode == 0, f"PostgreSQL 18 is not to be had:\n{done.stderr[-2000:]}"
    return done.stdout.split()[-1]


def copied(folder):
    """A copy in `folder`, since user postgres may not be let into the repository; its bin."""
    target = os.path.join(str(folder), "postgresql-18")
    shutil.copytree(fetched(), target, symlinks=True)
    return os.path.join(target, "bin")


def libpq_environment():
    """For a program linked to libpq.so.5: it then runs with version 18's."""
    return {"LD_LIBRARY_PATH": os.path.join(fetched(), "lib")}
