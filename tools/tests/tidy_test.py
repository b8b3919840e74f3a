#!/usr/bin/env python3
"""Tests of tools/tidy: for each rule, what it must find and what it must leave alone."""

import contextlib
import io
import os
import tempfile
import unittest

import script

tidy = script.load("tidy")

DOCUMENTS = {
    "docs/metrics.md": "| `pgbraid_mirror_dropped_units` | counter |",
    "docs/configuration.md": "`--listen`, `--log-level`",
}


def rules(text, path="src/io/file.cc"):
    return [rule for _, rule, _ in tidy.check_file(path, text, DOCUMENTS)]


def in_function(statement):
    return "io::Task<void> Run(Stream* stream) {\n  " + statement + "\n}\n"


class AwaitTest(unittest.TestCase):
    def test_right_forms(self):
        for statement in (
            "co_await stream->Flush(deadline);",
            "const absl::Status sent = co_await stream->Flush(deadline);",
            "auto read = co_await io::Read<int>(stream, f(1, two[0]), deadline).Checked();",
            "sent_ = co_await Flush();",
            "this->sent_[3].status = co_await Flush();",
            "*status = co_await Flush();",
            "std::map<int, std::string> all = co_await All();",
            "auto&& it = co_await Flush();",
            "co_return co_await Flush();",
            "if (ready) co_await Flush();",
            "if (ready) {\n co_await Flush();\n } else {\n co_await Close();\n }",
            "for (int i = 0; i < 3; ++i) co_await Flush();",
            "switch (kind) {\n case Kind::kOne:\n x = co_await One();\n break;\n }",
            "switch (kind) {\n default:\n co_await One();\n }",
            "// if (co_await x)\n const char* s = \"f(co_await x)\";",
        ):
            self.assertEqual(rules(in_function(statement)), [], statement)

    def test_wrong_forms(self):
        for statement in (
            "if (co_await Flush()) { }",
            "while (!(co_await Done())) { }",
            "for (auto x : co_await All()) { }",
            "switch (co_await Kind()) { }",
            "Use(co_await Flush());",
            "table[co_await Index()] = 1;",
            "auto [a, b] = co_await Both();",
            "const auto& [a, b] = co_await Both();",
            "Options options{co_await Flush()};",
            "Options options = {1, co_await Flush()};",
            "x = ready ? co_await A() : co_await B();",
            "x = !co_await Flush();",
            "x = 1 + co_await Count();",
            "x = co_await Count() + 1;",
            "x += co_await Count();",
            "x = y = co_await Count();",
            "bool same = a == co_await Count();",
            "bool same = co_await Count() == a;",
            "return co_await Flush();",
            "co_await Connect({.host = host});",
            "co_await Connect(Options{.host = host});",
            "co_await Run([x] { return x; });",
            "CO_RETURN_IF_ERROR(co_await Flush());",
        ):
            self.assertIn("co-await", rules(in_function(statement)), statement)

    def test_the_operator_may_be_defined(self):
        text = "Awaiter operator co_await() const { return Awaiter{handle_}; }\n"
        self.assertEqual(rules(text, "src/io/task.cc"), [])

    def test_names_the_line(self):
        findings = tidy.check_file("src/io/a.cc", in_function("Use(co_await F());"), DOCUMENTS)
        self.assertEqual(findings[0][0], 2)


class LambdaTest(unittest.TestCase):
    def test_coroutine_lambdas_are_found(self):
        for statement in (
            "auto f = [] { co_return; };",
            "Spawn([this, x](int y) mutable -> Task<int> { co_return y; });",
            "return [&]() { co_yield 1; };",
            "auto f = []<typename T>(T t) { co_return t; };",
        ):
            self.assertIn("coroutine-lambda", rules(in_function(statement)), statement)

    def test_other_brackets_are_not(self):
        for statement in (
            "auto f = [x] { return x; };\n  co_return;",
            "[[maybe_unused]] int x = table[3];\n  if (x) { co_return; }",
            "int a[] = {1};\n  if (a[0]) { co_return; }",
        ):
            self.assertEqual(rules(in_function(statement)), [], statement)


class SizeTest(unittest.TestCase):
    def function(self, lines, above=""):
        return f"{above}int F() {{\n" + "  G();\n" * (lines - 2) + "}\n"

    def test_function_length(self):
        self.assertEqual(rules(self.function(70)), [])
        self.assertEqual(rules(self.function(71)), ["function-length"])
        self.assertEqual(rules(self.function(90, "// tidy: table\n")), [])
        self.assertEqual(rules(self.function(90, "// tidy: table\n\n")), ["function-length"])

    def test_function_length_sees_members_and_initializers(self):
        body = "  G();\n" * 70
        for text in (
            "namespace a {\nclass B {\n  int F() const {\n" + body + "  }\n};\n}\n",
            "B::B(int x) : x_{x}, y_(1) {\n" + body + "}\n",
            "TEST(A, B) {\n" + body + "}\n",
            "auto F() -> int {\n" + body + "}\n",
        ):
            self.assertEqual(rules(text), ["function-length"], text[:40])

    def test_literals_and_separators_do_not_confuse(self):
        text = "char F() {\n  G('{', \"{{\", R\"(})\", 1'000'000, '\\'', L'{');\n}\n"
        self.assertEqual(rules(text + self.function(71)), ["function-length"])

    def test_nesting(self):
        three = "if (a) { for (;;) { while (b) { G(); } } }"
        self.assertEqual(rules(in_function(three)), [])
        self.assertEqual(rules(in_function("if (x) { " + three + " }")), ["nesting"])
        chain = "if (a) { } else if (b) { } else if (c) { } else if (d) { } else { }"
        self.assertEqual(rules(in_function(chain)), [])

    def test_file_length(self):
        self.assertEqual(rules("int x;\n" * 600), [])
        self.assertEqual(rules("int x;\n" * 601), ["file-length"])
        header = "// What.\n#pragma once\n"
        self.assertEqual(rules(header + "int x;\n" * 248, "src/io/a.h"), [])
        self.assertEqual(rules(header + "int x;\n" * 249, "src/io/a.h"), ["file-length"])

    def test_columns_count_characters(self):
        self.assertEqual(rules("// " + "é" * 97 + "\n"), [])
        self.assertEqual(rules("// " + "x" * 98 + "\n"), ["columns"])

    def test_python_function_length(self):
        body = "    pass\n" * 70
        self.assertEqual(rules("def f():\n" + body, "tools/a.py"), ["function-length"])


class HeaderTest(unittest.TestCase):
    def test_header_needs_comment_and_pragma(self):
        self.assertEqual(rules("// What.\n#pragma once\n", "src/io/a.h"), [])
        self.assertEqual(rules("#pragma once\n", "src/io/a.h"), ["header-comment"])
        self.assertEqual(rules("// What.\nint x;\n", "src/io/a.h"), ["pragma-once"])
        long = "// What.\n" * 41 + "#pragma once\n"
        self.assertEqual(rules(long, "src/io/a.h"), ["header-comment"])
        self.assertEqual(rules("// What.\n// #pragma once\n", "src/io/a.h"), ["pragma-once"])


class WordsTest(unittest.TestCase):
    def test_shared_pointers(self):
        for word in ("std::shared_ptr<int> p;", "auto p = std::make_shared<int>();"):
            self.assertEqual(rules(word), ["shared-pointer"])
            self.assertEqual(rules(word, "tests/unit/io/a.cc"), [])
            self.assertEqual(rules(word, "src/base/log_writer.cc"), [])
        self.assertEqual(rules("// shared_ptr\n"), [])

    def test_printing(self):
        for word in ("std::cout << 1;", "printf(a);", "std::fprintf(stderr, a);", "puts(a);"):
            self.assertEqual(rules(word), ["printing"], word)
            self.assertEqual(rules(word, "src/main.cc"), [])
            self.assertEqual(rules(word, "bench/a.cc"), [])
        self.assertEqual(rules("snprintf(a, 1, b);"), [])

    def test_c11_secrets_are_compared_in_constant_time(self):
        for word in ("a = given == password;", "if (x.secret != y) {", "b = p->stored_key == k;",
                     "b = a == row.md5_secret;", "b = memcmp(a, proof, 32) == 0;",
                     "b = std::equal(a.begin(), a.end(), digest);", 'b = secret() == "x";'):
            self.assertEqual(rules(word), ["secret-compare"], word)
            self.assertEqual(rules(word, "tests/unit/io/a.cc"), [], word)
        for word in ("a = secret.size() == 4;", "b = password.empty();", "c = secret_ == nullptr;",
                     "d = secrets == 4;", "e = kind == SecretKind::kPlain;",
                     "f = base::ConstantTimeEqual(password, secret);"):
            self.assertEqual(rules(word), [], word)

    def test_sleeps_in_tests(self):
        for word in (
            "sleep(1);",
            "usleep (1);",
            "std::this_thread::sleep_for(a);",
            "absl::SleepFor(a);",
        ):
            self.assertEqual(rules(word, "tests/unit/io/a.cc"), ["sleep"], word)
            self.assertEqual(rules(word), [])
        self.assertEqual(rules('Query("select pg_sleep(1)");', "tests/unit/io/a.cc"), [])
        self.assertEqual(rules("import time\ntime.sleep(1)\n", "tests/a.py"), ["sleep"])
        self.assertEqual(rules('query("select pg_sleep(1)")  # sleep(1)\n', "tests/a.py"), [])
        self.assertEqual(rules("#!/bin/sh\nfoo; sleep 1\n", "tests/a.sh"), ["sleep"])

    def test_unfinished_marks(self):
        for word in ("TO" + "DO", "FIX" + "ME", "X" + "XX"):
            self.assertEqual(rules(f"// {word}: later\n"), ["unfinished"])
        self.assertEqual(rules('mkstemp("/tmp/aXXXXXX"); Code("XX000");'), [])


class DocumentedTest(unittest.TestCase):
    def test_metrics(self):
        self.assertEqual(rules('Add("pgbraid_mirror_dropped_units", help);'), [])
        self.assertEqual(rules('Add("pgbraid_mirror_dropped", help);'), ["metric"])
        self.assertEqual(rules('Add("pgbraid_mirror_lost_units", h);', "tests/unit/a.cc"), [])

    def test_flags(self):
        path = "src/config/flags.cc"
        self.assertEqual(rules('Add("--listen,-l");\nAdd("--log-level");', path), [])
        self.assertEqual(rules('Add("--log");', path), ["flag"])
        self.assertEqual(rules('Add("-m,--mirror");', path), ["flag"])
        self.assertEqual(rules('Add("--mirror");', "src/server/a.cc"), [])

    def test_missing_document_is_no_excuse(self):
        empty = {name: "" for name in DOCUMENTS}
        found = tidy.check_file("src/config/a.cc", 'Add("--listen");', empty)
        self.assertEqual([rule for _, rule, _ in found], ["flag"])


class WholeTreeTest(unittest.TestCase):
    def run_on(self, text):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "src"))
            with open(os.path.join(root, "src", "a.cc"), "w", encoding="utf-8") as file:
                file.write(text)
            with contextlib.redirect_stdout(io.StringIO()) as output:
                code = tidy.main(["--root", root])
            return code, output.getvalue()

    def test_exit_code_tells(self):
        self.assertEqual(self.run_on("int x;\n"), (0, "1 files, 0 findings\n"))
        code, output = self.run_on("std::shared_ptr<int> x;\n")
        self.assertEqual(code, 1)
        self.assertTrue(output.startswith("src/a.cc:1: shared-pointer: give it one owner"))

    def test_an_empty_tree_is_an_error(self):
        with tempfile.TemporaryDirectory() as root:
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(tidy.main(["--root", root]), 1)


if __name__ == "__main__":
    unittest.main()
