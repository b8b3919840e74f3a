#!/usr/bin/env python3
"""Tests of tools/check_rooms: tables and includes that are right and wrong."""

import contextlib
import io
import os
import tempfile
import unittest

import script

check_rooms = script.load("check_rooms")

TABLE = """# Title

| room | may include | waits | purpose |
|---|---|---|---|
| `base/` | - | no | words |
| `pg/` | base | no | frames |
| `io/` | base | yes | ring |
| `http/` | base | no | messages |
| `config/` | base | no | settings |
| `server/` | everything | yes | shards |

Text | with | bars | after.
"""


class TableTest(unittest.TestCase):
    def test_reads_rooms_in_order(self):
        rooms, findings = check_rooms.read_table(TABLE)
        self.assertEqual(findings, [])
        self.assertEqual(list(rooms), ["base", "pg", "io", "http", "config", "server"])
        self.assertEqual(rooms["pg"], {"base"})
        self.assertEqual(rooms["server"], {"base", "pg", "io", "http", "config"})

    def test_a_room_may_name_only_rooms_above(self):
        _, findings = check_rooms.read_table(TABLE.replace("`pg/` | base", "`pg/` | base io"))
        self.assertEqual(len(findings), 1)
        self.assertIn("pg may not include io: it is not above it", findings[0])

    def test_a_missing_table_is_a_finding(self):
        self.assertEqual(len(check_rooms.read_table("# nothing")[1]), 1)

    def test_a_row_of_the_wrong_width_is_a_finding(self):
        _, findings = check_rooms.read_table(TABLE.replace(" | frames |", " |"))
        self.assertIn("3 cells", findings[0])

    def test_a_room_twice_is_a_finding(self):
        _, findings = check_rooms.read_table(TABLE.replace("`http/`", "`pg/`"))
        self.assertIn("twice", findings[0])


class IncludeTest(unittest.TestCase):
    def findings(self, path, line):
        rooms, _ = check_rooms.read_table(TABLE)
        return check_rooms.check_file(path, "// Text.\n" + line, rooms, set(rooms) | {"odd"})

    def test_allowed(self):
        for path, line in (
            ("pg/frame.cc", '#include "base/slice.h"'),
            ("pg/frame.cc", '#include "pg/frame.h"'),
            ("pg/frame.cc", '#include "absl/status/status.h"'),
            ("pg/frame.cc", "#include <vector>"),
            ("server/shard.cc", '#include "io/loop.h"'),
            ("io/ring.cc", "#include <liburing.h>"),
            ("io/tls.cc", "#include <openssl/ssl.h>"),
            ("base/crypto.cc", "#include <openssl/evp.h>"),
            ("base/log.cc", "#include <spdlog/async_logger.h>"),
            ("http/parser.cc", "#include <boost/beast/http.hpp>"),
            ("config/file.cc", "#include <toml++/toml.h>"),
            ("config/flags.cc", "#include <CLI/CLI.hpp>"),
            ("pg/frame.cc", '// #include "io/loop.h"'),
        ):
            self.assertEqual(self.findings(path, line), [], (path, line))

    def test_forbidden(self):
        for path, line, what in (
            ("pg/frame.cc", '#include "io/loop.h"', "pg may not include io/"),
            ("base/log.h", '#include "pg/frame.h"', "base may not include pg/"),
            ("io/loop.cc", '#  include "server/shard.h"', "io may not include server/"),
            ("pg/frame.cc", '#include "frame.h"', "with its room"),
            ("pg/frame.cc", '#include "odd/thing.h"', "odd/ has no row"),
            ("odd/thing.cc", "", "odd has no row"),
            ("server/shard.cc", "#include <liburing.h>", "only io/"),
            ("server/shard.cc", "#include <linux/io_uring.h>", "only io/"),
            ("base/crypto.cc", "#include <openssl/ssl.h>", "only io/"),
            ("io/tls.cc", "#include <openssl/evp.h>", "only base/"),
            ("server/admin.cc", "#include <boost/beast/http.hpp>", "only http/"),
            ("server/shard.cc", "#include <toml++/toml.h>", "only config/"),
            ("server/shard.cc", '#include "CLI/CLI.hpp"', "only config/"),
            ("pg/frame.cc", "#include <fmt/format.h>", "only base/"),
            ("pg/frame.cc", "#include <xxhash.h>", "only base/"),
        ):
            findings = self.findings(path, line)
            self.assertEqual(len(findings), 1, (path, line))
            self.assertIn(what, findings[0])

    def test_a_finding_names_file_and_line(self):
        finding = self.findings("pg/frame.cc", '#include "io/loop.h"')[0]
        self.assertTrue(finding.startswith("src/pg/frame.cc:2: include: "), finding)


class OrderTest(unittest.TestCase):
    def test_meson_follows_the_table(self):
        rooms, _ = check_rooms.read_table(TABLE)
        right = "# rooms\nsubdir('base')\nsubdir('io')\nsubdir('server')\n"
        self.assertEqual(check_rooms.check_order(right, rooms), [])
        wrong = "subdir('base')\nsubdir('server')\nsubdir('io')\nsubdir('odd')\n"
        findings = check_rooms.check_order(wrong, rooms)
        self.assertEqual(len(findings), 2)
        self.assertIn("src/meson.build:3: order: io belongs above server", findings[0])
        self.assertIn("odd has no row", findings[1])


class WholeTreeTest(unittest.TestCase):
    def run_on(self, source):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "src", "pg"))
            for path, text in (
                ("ARCHITECTURE.md", TABLE),
                ("src/meson.build", "subdir('pg')\n"),
                ("src/pg/frame.cc", source),
            ):
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                code = check_rooms.main(["--root", root])
            return code, output.getvalue()

    def test_exit_code_tells(self):
        self.assertEqual(self.run_on("#include <vector>\n")[0], 0)
        code, output = self.run_on("#include <liburing.h>\n")
        self.assertEqual(code, 1)
        self.assertIn("src/pg/frame.cc:1", output)


if __name__ == "__main__":
    unittest.main()
