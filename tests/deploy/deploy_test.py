"""The files of docs/deploy, as far as a machine without Docker and a cluster can check them.

    deploy_test.py REPOSITORY PGBRAID
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

REPOSITORY, PGBRAID = (os.path.abspath(path) for path in sys.argv[1:3])
DEPLOY = os.path.join(REPOSITORY, "docs", "deploy")
DEADLINE = 30


def read(name):
    with open(os.path.join(DEPLOY, name)) as file:
        return file.read()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def seconds(text):
    return int(re.fullmatch(r"(\d+)s?", text).group(1))


class Seccomp(unittest.TestCase):
    DEFAULT = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "archMap": [],
               "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                            {"names": ["io_uring_setup"], "action": "SCMP_ACT_ALLOW",
                             "includes": {"caps": ["CAP_SYS_ADMIN"]}}]}

    def run_on(self, text):
        return subprocess.run([sys.executable, os.path.join(DEPLOY, "allow_io_uring")], input=text,
                              capture_output=True, text=True)

    def test_adds_the_three_calls_and_nothing_else(self):
        done = self.run_on(json.dumps(self.DEFAULT))
        self.assertEqual(done.returncode, 0, done.stderr)
        profile = json.loads(done.stdout)
        self.assertEqual(profile["syscalls"][1:], self.DEFAULT["syscalls"])
        self.assertEqual(profile["syscalls"][0],
                         {"names": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
                          "action": "SCMP_ACT_ALLOW"})
        self.assertEqual({**profile, "syscalls": None}, {**self.DEFAULT, "syscalls": None})
        self.assertEqual(json.loads(self.run_on(done.stdout).stdout), profile)

    def test_refuses_what_is_no_profile(self):
        for text in ("", "[]", "{}", '{"syscalls": 1, "defaultAction": "x"}', '{"syscalls": []}'):
            done = self.run_on(text)
            self.assertEqual((done.returncode, done.stdout), (1, ""), text)


class Systemd(unittest.TestCase):
    def test_unit(self):
        unit = read("pgbraid.service")
        self.assertGreater(seconds(re.search(r"^TimeoutStopSec=(.*)$", unit, re.M).group(1)), 35)
        self.assertIn("ExecReload=/bin/kill -HUP $MAINPID\n", unit)
        verify = shutil.which("systemd-analyze")
        if verify is None:
            return  # read above; a machine without systemd has nobody to ask about the rest
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pgbraid.service")
            with open(path, "w") as file:
                file.write(unit.replace("/usr/local/bin/pgbraid", PGBRAID))
            done = subprocess.run([verify, "verify", "--man=no", path], capture_output=True,
                                  text=True)
        complaints = [line for line in done.stderr.splitlines() if "pgbraid.service" in line]
        self.assertEqual(complaints, [])


class Kubernetes(unittest.TestCase):
    def setUp(self):
        try:
            import yaml
        except ImportError:
            self.documents = None
            return
        self.documents = {one["kind"]: one for one in yaml.safe_load_all(read("kubernetes.yaml"))}

    def test_what_refers_to_each_other_fits(self):
        if self.documents is None:
            self.fail("python3-yaml is missing: run tools/deps test")
        pod = self.documents["Deployment"]["spec"]["template"]
        container = pod["spec"]["containers"][0]
        arguments = container["args"]
        drain = seconds(arguments[arguments.index("--drain-timeout") + 1])
        pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        self.assertGreater(pod["spec"]["terminationGracePeriodSeconds"], pause + drain + 5)
        labels = pod["metadata"]["labels"]
        for selector in (self.documents["Service"]["spec"]["selector"],
                         self.documents["Deployment"]["spec"]["selector"]["matchLabels"],
                         self.documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
            self.assertEqual(selector, labels)
        port = self.documents["Service"]["spec"]["ports"][0]["targetPort"]
        self.assertIn(port, [one["name"] for one in container["ports"]])
        for probe, path in (("startupProbe", "/livez"), ("readinessProbe", "/readyz"),
                            ("livenessProbe", "/livez")):
            self.assertEqual(container[probe]["exec"]["command"], ["pgbraid-probe", path])
        user = pod["spec"]["securityContext"]["runAsUser"]
        self.assertIn(f"USER {user}:", read("Dockerfile"))
        mounted = {one["name"] for one in container["volumeMounts"]}
        self.assertEqual(mounted, {one["name"] for one in pod["spec"]["volumes"]})


class Docker(unittest.TestCase):
    def test_builds_with_what_tools_deps_names(self):
        with open(os.path.join(REPOSITORY, "tools", "deps")) as file:
            build = re.search(r"build\)\n\s+echo (.*?)\n\s+;;", file.read(), re.S).group(1)
        wanted = set(build.replace("\\\n", " ").split())
        self.assertLessEqual(wanted, set(read("Dockerfile").split()))

    def test_runs_with_the_libraries_that_the_program_needs(self):
        """On Debian 12 itself: the package of each shared library is in the second stage."""
        with open("/etc/os-release") as file:
            if "VERSION_CODENAME=bookworm" not in file.read():
                return
        listed = subprocess.run(["ldd", PGBRAID], capture_output=True, text=True, check=True).stdout
        stage = set(read("Dockerfile").split("FROM debian:12-slim\n")[1].split())
        base = {"libc6", "libgcc-s1", "libstdc++6"}
        for name in re.findall(r"^\s*(\S+) => /", listed, re.M):
            owner = subprocess.run(["dpkg", "-S", f"*/{name}"], capture_output=True, text=True)
            packages = {line.split(":")[0] for line in owner.stdout.splitlines()}
            if packages and not re.match(r"lib(asan|ubsan|tsan)", name):
                self.assertTrue(packages & (stage | base), f"{name}: {packages}")


class Probe(unittest.TestCase):
    """The script that a container's probes run, against the program itself."""

    def ask(self, path, port):
        return subprocess.run([os.path.join(DEPLOY, "probe"), path, str(port)],
                              capture_output=True).returncode

    def test_asks_the_admin_endpoint(self):
        admin, listen = free_port(), free_port()
        self.assertNotEqual(self.ask("/livez", admin), 0)
        process = subprocess.Popen(
            [PGBRAID, "-l", f"127.0.0.1:{listen}", "-p", "host=127.0.0.1 port=1", "--shards", "1",
             "--admin", f"127.0.0.1:{admin}"], stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + DEADLINE
            while self.ask("/readyz", admin) != 0:
                self.assertLess(time.monotonic(), until, "pgbraid is not ready")
                self.assertIsNone(process.poll())
            self.assertEqual(self.ask("/livez", admin), 0)
            self.assertNotEqual(self.ask("/nowhere", admin), 0)
        finally:
            process.terminate()
            self.assertEqual(process.wait(DEADLINE), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
