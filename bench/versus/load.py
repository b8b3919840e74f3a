"""One measurement: a load through one contender, and what it cost.

A Sample is either good (every answer was right) or carries an error; only good ones are averaged.
"""

import dataclasses
import glob
import json
import os
import re
import subprocess
import threading
import time

from rig import busy_seconds, connection_flags

PATIENCE = 60  # seconds beyond the planned ones until a load counts as hung
ROW = 1000  # bytes of a COPY row
COPY_FILE_ROWS = 16384
ROW_MIB = 64
ROW_MODE = "row-64m"  # one row of 64 MiB at a time
COPY_MODES = ("copy-out", "copy-in", ROW_MODE)  # counted in MiB


@dataclasses.dataclass
class Sample:
    suite: str
    mode: str
    clients: int
    contender: str
    round: int
    error: str = ""
    units: float = 0  # transactions, or MiB for COPY
    rate: float = 0  # units per second
    p50_us: float = None
    p99_us: float = None
    cpu_us: float = None  # CPU of the proxy per unit
    peak_kib: int = None
    others: float = None  # part of the machine's CPUs that programs not ours used meanwhile

    @property
    def good(self):
        return not self.error


def environment(options):
    # No probe for TLS or GSS: each would be one more round trip at login.
    return {**os.environ, "PGSSLMODE": "disable" if options.tls == "off" else "require",
            "PGGSSENCMODE": "disable", "LC_ALL": "C"}


def first_error(text):
    for line in text.splitlines():
        if re.search(r"error|fatal|aborted|closed", line, re.IGNORECASE):
            return line.strip()
    return text.strip().splitlines()[-1] if text.strip() else "no message"


class Meter:
    """CPU and peak memory of a proxy around a load; does nothing for a direct connection."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        if self.process:
            self.process.reset_peak()
            self.before = self.process.cpu_ns()
        return self

    def __exit__(self, *_):
        self.cpu_ns = self.peak = None
        if self.process and self.process.alive():
            self.cpu_ns = self.process.cpu_ns() - self.before
            self.peak = self.process.peak_kib()

    def restart(self):
        if self.process and self.process.alive():
            self.before = self.process.cpu_ns()

    def fill(self, sample, units=None):
        units = units or sample.units
        if self.cpu_ns is not None and units:
            sample.cpu_us = self.cpu_ns / 1000 / units
            sample.peak_kib = self.peak


def run_guarded(rig, command, seconds, extra=None, **more):
    """(status, stdout, stderr); a command that hangs is killed and reported as an error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE,
                              env={**environment(rig.options), **(extra or {})}, **more)
        return done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        return 1, "", f"error: no end after {seconds + PATIENCE:.0f} s"


def percentile(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def read_log(prefix):
    """[(when it ended, latency)] of pgbench's logs of that name, which go; in s and us."""
    found = []
    for path in glob.glob(prefix + "*"):
        with open(path) as f:
            for line in f:
                _, _, latency, _, seconds, micros, *_ = line.split()
                found.append((int(seconds) + int(micros) / 1e6, int(latency)))
        os.unlink(path)
    return found


def read_latencies(prefix):
    return sorted(latency for _, latency in read_log(prefix))


def run_pgbench(rig, command, seconds, meter):
    """(status, stdout, stderr, transactions before the meter was started again).

    The first second is not metered: clients log in before it, with up to two TLS handshakes each,
    which is another figure, and a pooler that still has its server connections from another run
    would save half of them.
    """
    running = subprocess.Popen([*command, "-T", str(seconds + 1), "-P", "1", "postgres"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=rig.folder, env=environment(rig.options))
    killer = threading.Timer(seconds + PATIENCE, running.kill)
    killer.start()
    before, errors = 0, []
    for line in running.stderr:
        progress = re.match(r"progress: [\d.]+ s, ([\d.]+) tps", line)
        if not progress:
            errors.append(line)
        elif not before:
            meter.restart()
            before = float(progress.group(1))
    out = running.stdout.read()
    status = running.wait()
    if not killer.is_alive():
        errors.append(f"error: no end after {seconds + PATIENCE:.0f} s")
    killer.cancel()
    return status, out, "".join(errors), before


def measure_pgbench(rig, sample, port, process, seconds):
    prefix = rig.path("latency")
    threads = 1 if sample.clients < 16 else 2
    command = [
        "pgbench", *connection_flags(port), "-n", "-S", "-M", sample.mode,
        "-c", str(sample.clients), "-j", str(threads),
        "-l", "--log-prefix", prefix, "--sampling-rate", "0.2"]
    with Meter(process) as meter:
        status, out, err, before = run_pgbench(rig, command, seconds, meter)
    latencies = read_latencies(prefix)
    done = re.search(r"actually processed: (\d+)", out)
    failed = re.search(r"failed transactions: (\d+)", out)
    rate = re.search(r"tps = ([\d.]+)", out)
    if status != 0 or not done or not rate or not latencies or (failed and int(failed.group(1))):
        sample.error = first_error(err) if status != 0 or err else "transactions failed"
        return
    sample.units = int(done.group(1))
    sample.rate = float(rate.group(1))
    sample.p50_us = percentile(latencies, 0.50)
    sample.p99_us = percentile(latencies, 0.99)
    meter.fill(sample, sample.units - before)


def copy_file(rig):
    """A file of COPY rows, made once; only row 0 passes the filter of the COPY FROM."""
    path = rig.path("rows.copy")
    if not os.path.exists(path):
        with open(path, "w") as f:
            for i in range(COPY_FILE_ROWS):
                head = f"{i}\t"
                f.write(head + "x" * (ROW - 1 - len(head)) + "\n")
        os.chmod(path, 0o644)
    return path


def measure_copy(rig, sample, port, process, mib):
    times = max(1, round(mib * 1024 * 1024 / (COPY_FILE_ROWS * ROW)))
    rows = times * COPY_FILE_ROWS
    if sample.mode == "copy-out":
        source = (f"select nullrows({rows * ROW})" if sample.suite == "null"
                  else f"select repeat('x', {ROW - 1}) from generate_series(1, {rows})")
        what = f"\\copy ({source}) to '/dev/null'"
        expected = rows
    else:
        files = " ".join([copy_file(rig)] * times)
        what = f"\\copy copied from program 'cat {files}' where id = 0"
        expected = rows * ROW if sample.suite == "null" else times
    command = ["psql", *connection_flags(port), "-X", "-d", "postgres", "-c", what]
    with Meter(process) as meter:
        start = time.monotonic()
        status, out, err = run_guarded(rig, command, mib / 20)
        seconds = time.monotonic() - start
    if status != 0 or out.strip() != f"COPY {expected}":
        sample.error = first_error(err) if err else f"{out.strip()} instead of COPY {expected}"
        return
    sample.units = rows * ROW / (1024 * 1024)
    sample.rate = sample.units / seconds
    meter.fill(sample)


def measure_row(rig, sample, port, process, mib):
    """Rows of 64 MiB, one after the other, as many as make `mib`; each must come whole."""
    times = max(1, mib // ROW_MIB)
    ask = f"select repeat('x', {ROW_MIB << 20})"
    command = ["psql", *connection_flags(port), "-XAt", "-d", "postgres"]
    for _ in range(times):
        command += ["-c", ask]
    with Meter(process) as meter:
        start = time.monotonic()
        status, out, err = run_guarded(rig, command, mib / 20)
        seconds = time.monotonic() - start
    if status != 0 or len(out) != times * ((ROW_MIB << 20) + 1):
        sample.error = first_error(err) if err else f"{len(out)} bytes came"
        return
    sample.units = times * ROW_MIB
    sample.rate = sample.units / seconds
    meter.fill(sample)


def measure(rig, sample, port, process, seconds, mib):
    if process and not process.alive():
        sample.error = f"it has ended: {process.last_words()}"
        return
    before = time.monotonic(), busy_seconds(), rig.own_cpu()
    if sample.mode == ROW_MODE:
        measure_row(rig, sample, port, process, mib)
    elif sample.mode in COPY_MODES:
        measure_copy(rig, sample, port, process, mib)
    else:
        measure_pgbench(rig, sample, port, process, seconds)
    took, busy, own = (now - then for now, then in zip(
        (time.monotonic(), busy_seconds(), rig.own_cpu()), before))
    sample.others = max(0.0, (busy - own) / (took * os.cpu_count()))
    if not sample.error and process and not process.alive():
        sample.error = f"it ended during the load: {process.last_words()}"


def measure_idle(rig, process, clients):
    """What `clients` idle connections cost the process: idle_clients' JSON, or {"error": …}."""
    command = [rig.tool("idle_clients"), "--connect", f"127.0.0.1:{process.port}", "--pid",
               str(process.pid), "--clients", str(clients)]
    status, out, err = run_guarded(rig, command, 60)
    if status != 0:
        return {"clients": clients, "error": first_error(err)}
    return json.loads(out)
