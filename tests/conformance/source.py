"""Finds or fetches PostgreSQL's src/test/regress, and builds the regress.so it needs.

In this order: PGBRAID_PG_SOURCE (an unpacked source tree), a copy of an earlier run, or the
distribution's source package by apt-get with a private list made from the machine's own apt
sources (deb -> deb-src). Nothing on the machine's apt configuration is changed.
"""

import glob
import os
import re
import shutil
import subprocess
import tarfile

from harness import postgres, processes


def _source_lists(folder):
    """Writes deb-src twins of the configured sources; both of apt's formats."""
    parts = os.path.join(folder, "parts")
    os.makedirs(parts, exist_ok=True)
    lines = []
    for path in ["/etc/apt/sources.list"] + glob.glob("/etc/apt/sources.list.d/*.list"):
        if os.path.exists(path):
            lines += ["deb-src " + line[4:] for line in open(path) if line.startswith("deb ")]
    with open(os.path.join(parts, "one-line.list"), "w") as out:
        out.writelines(lines)
    for number, path in enumerate(glob.glob("/etc/apt/sources.list.d/*.sources")):
        with open(os.path.join(parts, f"{number}.sources"), "w") as out:
            out.write(re.sub(r"(?m)^Types:.*$", "Types: deb-src", open(path).read()))
    return parts


def _apt_options(folder):
    for sub in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(folder, sub), exist_ok=True)
    return ["-o", "Dir::Etc::sourcelist=/dev/null",
            "-o", f"Dir::Etc::sourceparts={_source_lists(folder)}",
            "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache",
            "-o", "APT::Sandbox::User=root"]


def _versions(options, package):
    shown = processes.run(["apt-cache", *options, "showsrc", package], timeout=120).stdout
    found = re.findall(r"(?m)^Version: (\S+)$", shown)
    return sorted(found, key=lambda text: [int(n) for n in re.findall(r"\d+", text)], reverse=True)


def _fetch(folder, major):
    package = f"postgresql-{major}"
    options = _apt_options(folder)
    subprocess.run(["apt-get", *options, "update"], stdout=subprocess.DEVNULL, timeout=300)
    # The newest version's source may be gone from a mirror while its binary is installed: an
    # older minor release serves as well, since both runs use the same files.
    for version in _versions(options, package):
        got = subprocess.run(["apt-get", *options, "source", "--download-only",
                              f"{package}={version}"], cwd=folder, timeout=600,
                             stdout=subprocess.DEVNULL)
        if got.returncode == 0:
            return
    raise RuntimeError(f"apt-get could not fetch the source of {package}; "
                       "name an unpacked source tree in PGBRAID_PG_SOURCE")


def regress_folder(folder):
    """The path of src/test/regress."""
    if "PGBRAID_PG_SOURCE" in os.environ:
        return os.path.join(os.environ["PGBRAID_PG_SOURCE"], "src", "test", "regress")
    major = postgres.bindir().split("/")[4]
    tree = os.path.join(folder, f"source-{major}")
    if not glob.glob(os.path.join(tree, "*", "src", "test", "regress", "parallel_schedule")):
        os.makedirs(tree, exist_ok=True)
        if not glob.glob(os.path.join(tree, "*.orig.tar.*")):
            _fetch(tree, major)
        with tarfile.open(glob.glob(os.path.join(tree, "*.orig.tar.*"))[0]) as archive:
            archive.extractall(tree, [m for m in archive if "/src/test/regress/" in m.name])
    return os.path.dirname(
        glob.glob(os.path.join(tree, "*", "src", "test", "regress", "parallel_schedule"))[0])


def build_regress_so(regress, into):
    """Builds regress.so out of tree with pgxs' own flags."""
    work = os.path.join(into, "lib")
    os.makedirs(work, exist_ok=True)
    shutil.copy(os.path.join(regress, "regress.c"), work)
    with open(os.path.join(work, "Makefile"), "w") as makefile:
        makefile.write(f"MODULES = regress\nPG_CONFIG = {pg_config()}\n"
                       "PGXS := $(shell $(PG_CONFIG) --pgxs)\ninclude $(PGXS)\n"
                       "with_llvm = no\n")
    processes.run(["make", "-C", work, "with_llvm=no"], timeout=300)
    return work


def pg_config():
    versioned = postgres.program("pg_config")
    return versioned if os.path.exists(versioned) else "pg_config"


def pg_regress():
    """Debian ships it in postgresql-server-dev-N."""
    pgxs = processes.run([pg_config(), "--pgxs"]).stdout.strip()
    path = os.path.join(os.path.dirname(pgxs), "..", "test", "regress", "pg_regress")
    if not os.path.exists(path):
        raise RuntimeError("pg_regress is missing: install the package postgresql-server-dev-"
                           + postgres.bindir().split("/")[4])
    return os.path.normpath(path)
