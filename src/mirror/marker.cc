#include "mirror/marker.h"

#include "base/bytes.h"

namespace mirror::marker {
namespace {

// bigint is signed, and a link's number is any: as PostgreSQL writes it.
std::string Number(uint64_t number) {
  return "(" + std::to_string(static_cast<int64_t>(number)) + ")::bigint";
}

// What a row has that was taken at `number`: none that a transaction goes on from.
uint64_t Taken(uint64_t number) { return ~number; }

}  // namespace

std::string_view InstallText() {
  return R"(
SELECT pg_catalog.pg_advisory_xact_lock(7022922, 6);
CREATE SCHEMA IF NOT EXISTS pgbraid;
CREATE TABLE IF NOT EXISTS pgbraid.mirror_marker (
  link bigint PRIMARY KEY,
  number bigint NOT NULL,
  pid integer NOT NULL,
  started timestamptz,
  marked timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE OR REPLACE FUNCTION pgbraid.mirror_mark(of_link bigint, next bigint) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $mark$
BEGIN
  UPDATE pgbraid.mirror_marker SET number = next, marked = pg_catalog.now()
    WHERE link = of_link AND number = next - 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'pgbraid: this connection was given up' USING ERRCODE = 'PB001';
  END IF;
END $mark$;
GRANT USAGE ON SCHEMA pgbraid TO PUBLIC;
)";
}

std::string OpenText(uint64_t link) {
  return "WITH old AS (DELETE FROM pgbraid.mirror_marker "
         "WHERE marked < pg_catalog.now() - interval '30 days') "
         "INSERT INTO pgbraid.mirror_marker (link, number, pid, started) SELECT " +
         Number(link) +
         ", 0, pg_catalog.pg_backend_pid(), (SELECT backend_start FROM "
         "pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid())";
}

std::string_view MarkParse() {
  static constexpr char kParse[] =
      "SELECT pgbraid.mirror_mark($1, $2)\0"
      "\0\2\0\0\0\x14\0\0\0\x14";  // two parameters of type bigint
  return std::string_view(kParse, sizeof kParse - 1);
}

std::string MarkBind(uint64_t link, uint64_t number) {
  std::string bind;
  base::AppendBe16(&bind, 1);  // all parameters are binary
  base::AppendBe16(&bind, 1);
  base::AppendBe16(&bind, 2);
  for (const uint64_t value : {link, number}) {
    base::AppendBe32(&bind, sizeof value);
    base::AppendBe64(&bind, value);
  }
  base::AppendBe16(&bind, 0);
  return bind;
}

std::string CloseText(uint64_t link) {
  return "DELETE FROM pgbraid.mirror_marker WHERE link = " + Number(link);
}

std::string EndText(uint64_t link) {
  return "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pgbraid.mirror_marker m "
         "JOIN pg_catalog.pg_stat_activity a ON a.pid = m.pid AND a.backend_start = m.started "
         "WHERE m.link = " +
         Number(link);
}

std::string TakeText(uint64_t link, uint64_t number) {
  return "UPDATE pgbraid.mirror_marker SET number = " + Number(Taken(number)) +
         " WHERE link = " + Number(link) + " AND number = " + Number(number);
}

std::string WasTakenText(uint64_t link, uint64_t number) { return HasText(link, Taken(number)); }

std::string HasText(uint64_t link, uint64_t number) {
  return "SELECT 1 FROM pgbraid.mirror_marker WHERE link = " + Number(link) +
         " AND number = " + Number(number);
}

}  // namespace mirror::marker
