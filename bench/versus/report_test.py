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
                      report.as_text(results, {}, {}, {}))

    def test_goals_are_judged_by_the_median_ratio(self):
        results = report.Results([sample("pgbraid", 1, 8), sample("pgbouncer", 1, 10),
                                  sample("relay", 1, 5)])
        idle = {"pgbraid": {"clients": 9000, "bytes_per_client": 5000}}
        verdicts = [line.split()[0] for line in report.goal_lines(results, idle)]
        self.assertEqual(verdicts, ["met", "MISSED", "MISSED"])

    def test_the_null_backend_decides_no_goal(self):
        cell = ("null", "simple", 16)
        results = report.Results([sample("pgbraid", 1, 80, cell=cell),
                                  sample("pgbouncer", 1, 10, cell=cell)])
        self.assertEqual(report.goal_lines(results, {}), [])

    def test_a_noisy_machine_is_named(self):
        text = report.as_text(report.Results([sample("relay", 1, 5)]), {}, {}, {})
        self.assertIn("other programs used 50%", text)
        self.assertIn("quiet machine", text)

    def test_files_can_be_read_back(self):
        results = report.Results([sample("pgbraid", 1, 8), sample("pgbouncer", 1, 10)])
        with tempfile.TemporaryDirectory() as folder:
            report.write_files(folder, results, {}, {"pgbouncer": "A & <B>"}, {}, {"rounds": 1})
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
