"""What a client has prepared by name is prepared on its mirror's connection, and stays exact."""

import pytest

from conftest import ONE_IO
from harness import wire

pytestmark = [pytest.mark.proxy_only, ONE_IO]

# What it is called in the session that runs it.
CALLED = ("INSERT INTO n(id, b) SELECT $1, string_agg(name, ',') FROM pg_prepared_statements "
          "WHERE statement LIKE 'INSERT INTO n(id, b)%'")
PLAIN = "INSERT INTO n VALUES ($1, 0, '')"


def prepare(raw, name, text):
    assert wire.first_error(raw.send(wire.parse(text, name) + wire.SYNC).read_turn()) == {}


def run(raw, name, number):
    sent = wire.bind([str(number)], name=name) + wire.execute() + wire.SYNC
    assert wire.first_error(raw.send(sent).read_turn()) == {}


def refused(pair):
    return pair.target.metric("pgbraid_mirror_refused_total")


def test_it_has_one_plan_there_as_on_the_primary(pair):
    raw = pair.session()
    prepare(raw, "s", CALLED)
    for number in range(4):
        run(raw, "s", number)
    prepare(raw, "again", CALLED)
    run(raw, "again", 4)
    prepare(raw, "", CALLED)
    run(raw, "", 5)
    pair.finish(raw)
    called = dict(pair.on_mirror("SELECT id, b FROM n"))
    assert len(called) == 6 and len({called[number] for number in range(5)}) == 1
    assert called[0].startswith("pgbraid_m") and "," not in called[0]
    assert refused(pair) == 0


def test_a_result_that_has_changed_on_the_mirror_is_no_refusal(pair):
    raw = pair.session()
    prepare(raw, "s", PLAIN + " RETURNING *")
    run(raw, "s", 1)
    pair.finish(raw)
    pair.on_mirror("ALTER TABLE n ADD c int")  # cached plan must not change result type
    run(raw, "s", 2)
    run(raw, "s", 3)
    pair.finish(raw)
    assert pair.on_mirror("SELECT id FROM n ORDER BY id") == [(1,), (2,), (3,)]
    assert refused(pair) == 0


def test_what_the_mirror_has_forgotten_is_prepared_again(pair):
    pair.on_mirror("CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
                   "EXECUTE 'DEALLOCATE ALL'; RETURN NEW; END$$; CREATE TRIGGER forgets BEFORE "
                   "INSERT ON t FOR EACH ROW EXECUTE FUNCTION forget()")
    raw = pair.session()
    prepare(raw, "s", PLAIN)
    for number in range(3):
        run(raw, "s", number)
        raw.ask(f"INSERT INTO t VALUES ({number}, '')")
    pair.check_equal(raw)
    assert refused(pair) == 0 and pair.dropped() == 0
    assert pair.target.metric("pgbraid_mirror_retries_total") == 0  # nor is a connection lost


def test_a_table_that_another_session_puts_in_front(pair):
    raw, other = pair.session(), pair.session()
    pair.ask(other, "CREATE SCHEMA front")
    pair.ask(raw, "SET search_path = front, public")
    prepare(raw, "s", PLAIN)
    run(raw, "s", 1)
    pair.finish(raw)
    pair.ask(other, "CREATE TABLE front.n(id int, a int, b text)")
    prepare(raw, "anew", PLAIN)
    run(raw, "anew", 2)
    assert pair.on_primary("SELECT id FROM front.n") == [(2,)]
    pair.check_equal(raw)


def test_a_temporary_table_in_front(pair):
    raw = pair.session()
    pair.ask(raw, "CREATE TEMP TABLE before(a int)")  # the first one makes PostgreSQL look again
    prepare(raw, "s", PLAIN)
    run(raw, "s", 1)
    pair.ask(raw, "CREATE TEMP TABLE n(id int, a int, b text)")
    prepare(raw, "anew", PLAIN)
    run(raw, "anew", 2)
    pair.ask(raw, "DROP TABLE n")
    prepare(raw, "last", PLAIN)
    run(raw, "last", 3)
    assert pair.on_primary("SELECT id FROM n ORDER BY id") == [(1,), (3,)]
    pair.check_equal(raw)
