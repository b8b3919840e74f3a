"""What bench/versus does with its measurements, on made-up ones."""

import csv
import json
import os
import sys
import tempfile
import unittest
import xml.dom.minidom

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import report  # noqa: E402
from load import Sample  # noqa: E402

CELL = ("postgres", "simple", 16)


def sample(contender, number, cpu=None, error="", cell=CELL):
    return Sample(*cell, contender, number, error, units=100, rate=1000, p50_us=100, p99_us=200,
                  cpu_us=cpu, peak_kib=2048, others=0.5)


class ReportTest(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        # The second round was twice as slow for both: the ratio does not see it.
        results = report.Results([sample("pgbraid", 1, 8), sample("pgbouncer", 1, 10),
                                  sample("pgbraid", 2, 16), sample("pgbouncer", 2, 20)])
        self.assertEqual(results.ratios(CELL, "cpu_us", "pgbraid", "pgbouncer"), [0.8, 0.8])

    def test_an_error_is_reported_and_not_averaged(self):
        results = report.Results([sample("pgbraid", 1, 8), sample("pgbouncer", 1, 10),
                                  sample("pgbraid", 2, 1, error="server closed"),
                                  sample("pgbouncer", 2, 10)])
        self.assertEqual(results.median(CELL, "pgbraid", "cpu_us"), 8)
        self.assertEqual(results.ratios(CELL, "cpu_us", "pgbraid", "pgbouncer"), [0.8])
        self.assertIn("1x pgbraid (postgres, simple, 16 clients): server closed",
                      report.as_text(results, {}, {}))

    def test_goals_are_judged_by_the_median_ratio(self):
        idle = {"pgbraid": {"clients": 9000, "bytes_per_client": 5000}}
        results = report.Results([sample("pgbraid", 1, 8), sample("pgbouncer", 1, 10),
                                  sample("relay", 1, 5)], idle)
        verdicts = [line.split()[0] for line in report.goal_lines(results)]
        self.assertEqual(verdicts, ["met", "MISSED", "MISSED"])

    def test_the_null_backend_decides_no_goal(self):
        cell = ("null", "simple", 16)
        results = report.Results([sample("pgbraid", 1, 80, cell=cell),
                                  sample("pgbouncer", 1, 10, cell=cell)])
        self.assertEqual(report.goal_lines(results), [])

    def test_a_row_is_judged_by_its_time(self):
        row = ("postgres", "row-64m", 1)
        results = report.Results([
            Sample(*row, "pgbraid", 1, units=64, rate=100, cpu_us=1),
            Sample(*row, "pgbouncer", 1, units=64, rate=120, cpu_us=1)])
        self.assertEqual([line[:6].strip() for line in report.goal_lines(results)], ["MISSED"])

    def test_logins_and_the_storm_are_judged(self):
        storm = {"asked_rate": 5000, "rate": 4990, "logins": 50000, "failed": 0, "shed": 0,
                 "login_p50_us": 200, "login_p99_us": 900, "steady_p99_us": 500,
                 "steady_p99_in_storm_us": 1100, "steady_answers": 9, "steady_lost": 0}
        results = report.Results(
            [sample("pgbraid", 1, 8)],
            logins={"pgbraid": [{"logins": 1, "per_second": 9, "cpu_us": 400}, {"error": "no"}],
                    "pgbouncer": [{"logins": 1, "per_second": 9, "cpu_us": 1000}] * 2},
            storm={"pgbraid": storm})
        verdicts = [line.split()[0] for line in report.goal_lines(results)]
        self.assertEqual(verdicts, ["met", "met", "MISSED"])
        self.assertEqual(results.failures(), ["pgbraid (logins): no"])
        self.assertIn("2.20", report.as_text(results, {}, {}))

    def test_a_noisy_machine_is_named(self):
        text = report.as_text(report.Results([sample("relay", 1, 5)]), {}, {})
        self.assertIn("other programs used 50%", text)
        self.assertIn("quiet machine", text)

    def test_files_can_be_read_back(self):
        results = report.Results([sample("pgbraid", 1, 8), sample("pgbouncer", 1, 10)])
        with tempfile.TemporaryDirectory() as folder:
            report.write_files(folder, results, {"pgbouncer": "A & <B>"}, {}, {"rounds": 1})
            with open(os.path.join(folder, "versus.json")) as f:
                cpu = [r for r in json.load(f)["ratios"] if r["field"] == "cpu_us"]
            with open(os.path.join(folder, "versus.csv"), newline="") as f:
                rows = list(csv.DictReader(f))
            picture = xml.dom.minidom.parse(os.path.join(folder, "versus.svg"))
        self.assertEqual([(r["to"], r["median"]) for r in cpu], [("pgbouncer", 0.8)])
        self.assertEqual([row["cpu_us"] for row in rows], ["8", "10"])
        self.assertEqual(len(picture.getElementsByTagName("rect")), 2)


if __name__ == "__main__":
    unittest.main()
