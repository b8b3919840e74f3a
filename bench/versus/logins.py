"""Coming and going: CPU of the proxy per SCRAM login, and a storm of logins beside a steady load.

Both stand before the null backend, so that only the proxy's own work is seen.
"""

import json
import re

from load import Meter, first_error, run_guarded
from rig import PASSWORD, connection_flags

LOGIN_CLIENTS = 8
STORM_CONTENDERS = ("direct", "pgbraid", "pgbraid-epoll", "pgbraid-2", "pgbouncer")
LOGIN_CONTENDERS = ("pgbraid", "pgbraid-epoll", "pgbraid-2", "pgbouncer")


def measure_logins(rig, process, seconds):
    """SCRAM logins for `seconds` by clients that do nothing else: figures, or {"error": ...}."""
    script = rig.write("login.sql", "\\set nothing 1\n")
    command = ["pgbench", *connection_flags(process.port), "-n", "-C", "-f", script, "-c",
               str(LOGIN_CLIENTS), "-j", "2", "-T", str(seconds), "postgres"]
    with Meter(process) as meter:
        status, out, err = run_guarded(rig, command, seconds, cwd=rig.folder,
                                       extra={"PGPASSWORD": PASSWORD})
    done = re.search(r"actually processed: (\d+)", out)
    if status != 0 or not done or not int(done.group(1)):
        return {"error": first_error(err)}
    logins = int(done.group(1))
    return {"logins": logins, "per_second": logins / seconds,
            "cpu_us": meter.cpu_ns / 1000 / logins}


def refuses_a_wrong_password(rig, process):
    """A proxy that lets everybody in would win."""
    command = ["psql", *connection_flags(process.port), "-d", "postgres", "-c", "select 1"]
    status, _, err = run_guarded(rig, command, 10, extra={"PGPASSWORD": PASSWORD + "?"})
    return status != 0 and "authentication failed" in err


def measure_storm(rig, port, process, rate, seconds):
    """connect_storm's JSON, with the proxy's CPU per login; or {"error": ...}."""
    command = [rig.tool("connect_storm"), "--connect", f"127.0.0.1:{port}", "--rate", str(rate),
               "--seconds", str(seconds)]
    with Meter(process) as meter:
        status, out, err = run_guarded(rig, command, 3 * seconds)
    if not out.startswith("{"):
        return {"error": first_error(err), "status": status}
    figures = json.loads(out)
    if meter.cpu_ns is not None and figures["logins"]:
        figures["cpu_us"] = meter.cpu_ns / 1000 / figures["logins"]
    return figures
