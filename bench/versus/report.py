"""Figures of a run: medians, ratios within a round, tables, JSON, CSV and the picture."""

import collections
import csv
import dataclasses
import json
import os
import statistics
from html import escape

from load import COPY_MODES, ROW_MODE

# What issue and design ask for: CPU per transaction against PostgreSQL, at these client counts.
GOAL_MODES = ("simple", "extended", "prepared")
GOAL_CLIENTS = (16, 64)
GOALS = (
    ("pgbraid", "pgbouncer", 0.80),
    ("pgbraid", "relay", 1.20),
    ("pgbraid-2", "pgbraid", 1.10),
    ("pgbraid-epoll", "pgbouncer", 0.95),
)
NOISY = 0.1  # part of the CPUs
IDLE_GOAL = 4096  # bytes per idle client
ROW_GOAL = 1.10  # time of a 64 MiB row against PgBouncer's
LOGIN_GOAL = 0.50  # CPU per SCRAM login against PgBouncer's
STORM_GOAL = 2.0  # p99 of the steady load in the storm against the one before it

COLOURS = {
    "pgbraid": "#2f81f7", "pgbraid-epoll": "#6cb6ff", "pgbraid-2": "#1f6feb",
    "pgbouncer": "#d29922", "haproxy": "#57ab5a", "relay": "#8b949e", "direct": "#6e7681",
}


class Results:
    """Samples by cell, contender and round; figures of idle clients, logins and the storm."""

    def __init__(self, samples, idle=None, logins=None, storm=None):
        self.samples = samples
        self.idle = idle or {}  # {contender: figures}
        self.logins = logins or {}  # {contender: [figures of a round]}
        self.storm = storm or {}  # {contender: figures}
        self.cells = list(dict.fromkeys((s.suite, s.mode, s.clients) for s in samples))
        self.contenders = list(dict.fromkeys(s.contender for s in samples))
        self.by_key = {(s.suite, s.mode, s.clients, s.contender, s.round): s for s in samples}
        self.rounds = sorted({s.round for s in samples})

    def good(self, cell, contender):
        found = (self.by_key.get((*cell, contender, r)) for r in self.rounds)
        return [s for s in found if s and s.good]

    def median(self, cell, contender, field):
        values = [getattr(s, field) for s in self.good(cell, contender)]
        values = [v for v in values if v is not None]
        return statistics.median(values) if values else None

    def ratios(self, cell, field, above, below):
        """One ratio per round in which both were measured well."""
        found = []
        for r in self.rounds:
            a = self.by_key.get((*cell, above, r))
            b = self.by_key.get((*cell, below, r))
            if a and b and a.good and b.good:
                x, y = getattr(a, field), getattr(b, field)
                if x is not None and y:
                    found.append(x / y)
        return found

    def login_ratios(self, above, below):
        """One ratio of CPU per login for each round in which both were measured."""
        return [a["cpu_us"] / b["cpu_us"]
                for a, b in zip(self.logins.get(above, ()), self.logins.get(below, ()))
                if "error" not in a and "error" not in b]

    def failures(self):
        """Errors of what is not a sample."""
        rounds = [(f"{name} (logins)", one) for name, found in self.logins.items()
                  for one in found]
        others = [(f"{name} ({what})", one) for what, figures in
                  (("idle clients", self.idle), ("storm", self.storm))
                  for name, one in figures.items()]
        return [f"{where}: {one['error']}" for where, one in rounds + others if "error" in one]

    def errors(self):
        """{(contender, message): how often}"""
        return collections.Counter(
            (f"{s.contender} ({s.suite}, {s.mode}, {s.clients} clients)", s.error)
            for s in self.samples if s.error)


def subject_of(results):
    """The contender that the ratios are about."""
    for name in ("pgbraid", "relay", "haproxy"):
        if name in results.contenders:
            return name
    return results.contenders[0]


def cell_name(cell):
    _, mode, clients = cell
    return mode if mode in COPY_MODES else f"{mode} {clients}"


def number(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    def line(row):
        cells = [str(c).ljust(w) if i < 1 else str(c).rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()
    return "\n".join([line(head), "  ".join("-" * w for w in widths), *map(line, rows)])


def absolute_table(results, suite):
    head = ["cell", "contender", "per second", "p50 ms", "p99 ms", "CPU us each", "peak MiB"]
    rows = []
    for cell in (c for c in results.cells if c[0] == suite):
        for contender in results.contenders:
            median = lambda field: results.median(cell, contender, field)
            if median("rate") is None:
                continue
            milli = lambda field: None if median(field) is None else median(field) / 1000
            peak = median("peak_kib")
            rows.append([cell_name(cell), contender, number(median("rate"), 0),
                         number(milli("p50_us"), 2), number(milli("p99_us"), 2),
                         number(median("cpu_us"), 2),
                         number(peak / 1024 if peak else None)])
    return table(head, rows)


def ratio_text(values):
    if not values:
        return "-"
    middle = statistics.median(values)
    if len(values) < 2:
        return f"{middle:.2f}"
    return f"{middle:.2f} [{min(values):.2f}-{max(values):.2f}]"


def ratio_table(results, suite, field):
    subject = subject_of(results)
    others = [c for c in results.contenders if c != subject]
    if field == "cpu_us":
        others = [c for c in others if c != "direct"]
    rows = []
    for cell in (c for c in results.cells if c[0] == suite):
        ratios = [ratio_text(results.ratios(cell, field, subject, other)) for other in others]
        if any(r != "-" for r in ratios):
            rows.append([cell_name(cell), *ratios])
    return table([f"{subject} /", *others], rows) if rows else "nothing to compare"


def verdict(good, text):
    return f"{'met' if good else 'MISSED':6}  {text}"


def cpu_goals(results):
    for above, below, limit in GOALS:
        for cell in results.cells:
            if cell[0] != "postgres" or cell[1] not in GOAL_MODES or cell[2] not in GOAL_CLIENTS:
                continue
            values = results.ratios(cell, "cpu_us", above, below)
            if values:
                middle = statistics.median(values)
                yield verdict(middle <= limit, f"CPU {above} / {below}, {cell_name(cell)} clients: "
                                               f"{middle:.2f} (at most {limit:.2f})")


def other_goals(results):
    for cell in results.cells:
        values = results.ratios(cell, "rate", "pgbouncer", "pgbraid")
        if cell[1] == ROW_MODE and values:
            middle = statistics.median(values)
            yield verdict(middle <= ROW_GOAL, f"time of a 64 MiB row pgbraid / pgbouncer: "
                                              f"{middle:.2f} (at most {ROW_GOAL:.2f})")
    figures = results.idle.get("pgbraid", {})
    if "bytes_per_client" in figures:
        value = figures["bytes_per_client"]
        yield verdict(value <= IDLE_GOAL, f"pgbraid's memory per idle client, {figures['clients']} "
                                          f"clients: {value:,.0f} bytes (at most {IDLE_GOAL:,})")
    values = results.login_ratios("pgbraid", "pgbouncer")
    if values:
        middle = statistics.median(values)
        yield verdict(middle <= LOGIN_GOAL, f"CPU per SCRAM login pgbraid / pgbouncer: "
                                            f"{middle:.2f} (at most {LOGIN_GOAL:.2f})")
    figures = results.storm.get("pgbraid", {})
    if "logins" in figures:
        whole = not (figures["failed"] or figures["shed"] or figures["steady_lost"])
        yield verdict(whole, f"storm of {figures['asked_rate']:,} logins/s through pgbraid: "
                             f"{figures['rate']:,.0f}/s, {figures['failed']} failed, "
                             f"{figures['shed']} did not fit")
        ratio = storm_ratio(figures)
        yield verdict(ratio < STORM_GOAL, f"p99 of the steady load in the storm / before it: "
                                          f"{ratio:.2f} (under {STORM_GOAL:.2f})")


def goal_lines(results):
    return [*cpu_goals(results), *other_goals(results)]


def storm_ratio(figures):
    return figures["steady_p99_in_storm_us"] / max(1, figures["steady_p99_us"])


def login_table(logins):
    rows = []
    for name, rounds in logins.items():
        good = [one for one in rounds if "error" not in one]
        if not good:
            rows.append([name, "-", "-", rounds[0]["error"]])
            continue
        rows.append([name, number(statistics.median(one["per_second"] for one in good), 0),
                     number(statistics.median(one["cpu_us"] for one in good), 0), ""])
    return table(["SCRAM logins", "per second", "CPU us each", ""], rows)


def storm_table(storm):
    head = ["connect storm", "asked/s", "done/s", "failed", "shed", "p50 ms", "p99 ms",
            "CPU us each", "steady p99 ms", "in the storm", "ratio"]
    rows = []
    for name, one in storm.items():
        if "error" in one:
            rows.append([name, one["error"], *["-"] * (len(head) - 2)])
            continue
        rows.append([name, number(one["asked_rate"], 0), number(one["rate"], 0), one["failed"],
                     one["shed"], number(one["login_p50_us"] / 1000, 2),
                     number(one["login_p99_us"] / 1000, 2), number(one.get("cpu_us"), 1),
                     number(one["steady_p99_us"] / 1000, 2),
                     number(one["steady_p99_in_storm_us"] / 1000, 2), number(storm_ratio(one), 2)])
    return table(head, rows)


def idle_table(idle):
    rows = []
    for name, figures in idle.items():
        if "error" in figures:
            rows.append([name, figures["clients"], "-", "-", figures["error"]])
        else:
            rows.append([name, figures["clients"], number(figures["bytes_per_client"], 0),
                         number(figures["bytes_per_client_after_query"], 0), "all answered"])
    return table(["idle clients", "number", "bytes each", "after a query", ""], rows)


def noise_line(results):
    """How much of the machine belonged to somebody else while we measured."""
    parts = [s.others for s in results.samples if s.others is not None]
    if not parts:
        return "nothing is known of other programs' CPU"
    line = (f"other programs used {statistics.median(parts):.0%} of this machine's CPUs meanwhile "
            f"(median of the measurements; most: {max(parts):.0%})")
    if statistics.median(parts) > NOISY:
        line += ": read the ratios and their spread only, or measure on a quiet machine"
    return line


def as_text(results, described, left_out):
    parts = ["Contenders"]
    parts += [f"  {name}: {described[name]}" for name in results.contenders if name in described]
    parts += [f"  {name}: not measured: {why}" for name, why in left_out.items()]
    parts.append(noise_line(results))
    for suite in dict.fromkeys(c[0] for c in results.cells):
        title = "PostgreSQL" if suite == "postgres" else "null backend"
        parts += [f"\n== {title}: medians of {len(results.rounds)} round(s) "
                  "(per second: transactions, MiB for COPY)", absolute_table(results, suite)]
        for field, name in (("cpu_us", "CPU per transaction (per MiB for COPY)"),
                            ("rate", "throughput"), ("p99_us", "p99 latency")):
            parts += [f"\n{title}: ratio of {name}, median of the rounds' ratios [min-max]",
                      ratio_table(results, suite, field)]
    if results.idle:
        parts += ["\n== memory of an idle client, proxy's own pages (null backend)",
                  idle_table(results.idle)]
    if results.logins:
        parts += ["\n== SCRAM logins, users file with plain passwords (null backend)",
                  login_table(results.logins)]
    if results.storm:
        parts += ["\n== logins by trust beside a steady load (null backend)",
                  storm_table(results.storm)]
    goals = goal_lines(results)
    if goals:
        parts += ["\n== goals", *goals]
    errors = results.errors()
    if errors:
        parts += ["\n== errors: these measurements are left out of every figure above"]
        parts += [f"  {count}x {where}: {text}" for (where, text), count in errors.items()]
    parts += [f"error: {line}" for line in results.failures()]
    return "\n".join(parts) + "\n"


def write_files(folder, results, described, left_out, settings):
    os.makedirs(folder, exist_ok=True)
    fields = [f.name for f in dataclasses.fields(results.samples[0])]
    with open(os.path.join(folder, "versus.csv"), "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(fields)
        for s in results.samples:
            writer.writerow([getattr(s, name) for name in fields])
    subject = subject_of(results)
    ratios = [
        {"suite": cell[0], "mode": cell[1], "clients": cell[2], "of": subject, "to": other,
         "field": field, "median": statistics.median(values), "rounds": values}
        for cell in results.cells for other in results.contenders if other != subject
        for field in ("cpu_us", "rate", "p99_us")
        for values in [results.ratios(cell, field, subject, other)] if values]
    with open(os.path.join(folder, "versus.json"), "w") as f:
        json.dump({"settings": settings, "contenders": described, "left_out": left_out,
                   "idle": results.idle, "logins": results.logins, "storm": results.storm,
                   "goals": goal_lines(results), "ratios": ratios,
                   "samples": [dataclasses.asdict(s) for s in results.samples]}, f, indent=1)
    with open(os.path.join(folder, "versus.txt"), "w") as f:
        f.write(as_text(results, described, left_out))
    with open(os.path.join(folder, "versus.svg"), "w") as f:
        f.write(picture(results, described))


# -- the picture: CPU per transaction, one panel per suite ---------------------------------------

WIDTH, LABEL, BAR, GAP = 860, 130, 16, 16


def picture_cells(results, suite):
    """One client count per mode: 64, or the largest that was measured below it."""
    chosen = []
    for mode in GOAL_MODES:
        counts = sorted(c[2] for c in results.cells if c[0] == suite and c[1] == mode)
        below = [n for n in counts if n <= 64] or counts[:1]
        if below:
            chosen.append((suite, mode, below[-1]))
    return chosen


def picture_panel(results, suite, left, width, most):
    parts = []
    y = 64
    title = "PostgreSQL behind" if suite == "postgres" else "null backend behind"
    parts.append(f'<text x="{left}" y="{y - 12}" class="h">{title}</text>')
    room = width - LABEL - 60
    for cell in picture_cells(results, suite):
        parts.append(f'<text x="{left}" y="{y + 12}" class="g">{escape(cell[1])}, '
                     f'{cell[2]} clients</text>')
        y += 20
        for name in results.contenders:
            value = results.median(cell, name, "cpu_us")
            if value is None:
                continue
            length = max(1.0, value / most * room)
            colour = COLOURS.get(name, "#768390")
            parts.append(f'<text x="{left + LABEL - 8}" y="{y + 12}" class="n">{escape(name)}'
                         f'</text><rect x="{left + LABEL}" y="{y + 1}" width="{length:.1f}" '
                         f'height="{BAR - 3}" rx="2" fill="{colour}"/>'
                         f'<text x="{left + LABEL + length + 5:.1f}" y="{y + 12}">{value:.1f}'
                         '</text>')
            y += BAR
        y += GAP
    return parts, y


def picture(results, described):
    suites = list(dict.fromkeys(c[0] for c in results.cells))
    values = [results.median(cell, name, "cpu_us") for suite in suites
              for cell in picture_cells(results, suite) for name in results.contenders]
    most = max([v for v in values if v is not None], default=1)
    width = (WIDTH - 20) / max(1, len(suites))
    parts, height = [], 80
    for i, suite in enumerate(suites):
        panel, bottom = picture_panel(results, suite, 12 + i * width, width - 12, most)
        parts += panel
        height = max(height, bottom)
    notes = [f"{name}: {described[name]}" for name in results.contenders
             if name in ("pgbouncer", "haproxy") and name in described]
    parts.append(f'<text x="12" y="{height + 6}">{escape("; ".join(notes))}</text>')
    # Mid greys and mid tones on no background: readable on a light page and on a dark one.
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + 18}" '
            f'width="{WIDTH}" height="{height + 18}" role="img" '
            'aria-label="CPU of the proxy per transaction">\n<style>text{font:12px sans-serif;'
            'fill:#768390}.t{font-size:16px;font-weight:bold}.h{font-weight:bold}'
            '.g{font-style:italic}.n{text-anchor:end}</style>\n'
            '<text x="12" y="22" class="t">CPU of the proxy per transaction, microseconds '
            '(pgbench -S; shorter is better)</text>\n' + "\n".join(parts) + "\n</svg>\n")
