"""As whom a session's statements run on the mirror, and what is left out there whoever it is."""

import pytest

from conftest import ONE_IO
from harness import wire

pytestmark = [pytest.mark.proxy_only, ONE_IO]

APP = "DO $$BEGIN CREATE ROLE app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END$$"
GRANT = ("GRANT ALL ON ALL TABLES IN SCHEMA public TO app; "
         "ALTER TABLE t ALTER v SET DEFAULT current_user")


@pytest.fixture
def as_app(own_mirror):
    """as_app(login, flags) -> Pair whose clients are `app`, and the mirror's login is another."""
    def make(login="postgres", prepare="", flags=()):
        pair = own_mirror(user=login, prepare=APP + ";" + prepare, flags=flags)
        pair.primary.sql(APP)
        for server in (pair.primary, pair.mirror):
            server.sql(GRANT, pair.database)
        return pair

    return make


def app(pair):
    return pair.target.login(pair.database, user="app")


def test_a_superuser_becomes_the_clients_user(as_app):
    pair = as_app()
    raw = app(pair)
    pair.ask(raw, "INSERT INTO t VALUES (1)", "SET ROLE NONE", "INSERT INTO t VALUES (2)",
             "RESET SESSION AUTHORIZATION", "INSERT INTO t VALUES (3, session_user)",
             "DISCARD ALL", "INSERT INTO t VALUES (4, session_user)")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT DISTINCT v FROM t") == [("app",)]
    assert pair.dropped() == 0 and pair.target.metric("pgbraid_mirror_refused_total") == 0


def test_a_member_of_the_clients_user_takes_its_role(as_app):
    pair = as_app("member", "CREATE ROLE member LOGIN; GRANT app TO member")
    raw = app(pair)
    pair.ask(raw, "INSERT INTO t VALUES (1)", "RESET ROLE", "INSERT INTO t VALUES (2)")
    pair.check_equal(raw)
    assert pair.on_mirror("SELECT DISTINCT v FROM t") == [("app",)]


def test_who_may_not_become_it_says_so_and_goes_on(as_app):
    pair = as_app("other", "CREATE ROLE other LOGIN")
    pair.on_mirror("GRANT ALL ON ALL TABLES IN SCHEMA public TO other")
    raw = app(pair)
    pair.ask(raw, "INSERT INTO t VALUES (1)")
    pair.finish(raw)
    assert pair.on_mirror("SELECT v FROM t") == [("other",)]
    pair.target.log_contains("mirror.other_user")


def test_the_login_may_be_asked_for(as_app):
    pair = as_app(flags=["--mirror-role", "login"])
    raw = app(pair)
    pair.ask(raw, "INSERT INTO t VALUES (1)")
    pair.finish(raw)
    assert pair.on_mirror("SELECT v FROM t") == [("postgres",)]
    assert "mirror.other_user" not in pair.target.log_text()


def test_two_users_do_not_share_a_connection(as_app):
    pair = as_app()
    for user in ("app", "postgres", "app"):
        with pair.target.login(pair.database, user=user) as raw:
            pair.ask(raw, "INSERT INTO n VALUES (1, 1, current_user)")
            pair.finish(raw)
    assert pair.on_mirror("SELECT b FROM n") == [("app",), ("postgres",), ("app",)]


def test_what_acts_outside_of_the_database_is_left_out_and_counted(pair):
    raw = pair.session()
    name = "pgbraid_mirror_outside_statements_total"
    for count, text in enumerate(["SELECT pg_try_advisory_lock(4711)", "SELECT pg_switch_wal()",
                                  "SELECT pg_reload_conf()"], 1):
        assert pair.ask(raw, text) == [""]
        assert pair.target.metric(name) == count, text
    pair.ask(raw, "INSERT INTO t VALUES (1, '')", "SELECT pg_advisory_unlock(4711)")
    pair.check_equal(raw)
    assert pair.target.metric(name) == 3
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0


def test_prepared_statements_of_what_is_left_out_can_be_ended(pair):
    raw = pair.session()
    assert pair.ask(raw, "PREPARE q AS SELECT pg_try_advisory_lock(4712)", "EXECUTE q",
                    "DEALLOCATE q", "SELECT pg_advisory_unlock_all()") == [""] * 4
    pair.check_equal(raw)
    assert pair.target.metric("pgbraid_mirror_refused_total") == 0
    assert not wire.first_error(raw.ask("SELECT 1"))
