# shellcheck shell=bash
# Functions that the scripts of this folder share: progress lines, clean-up, packages' state,
# throwaway PostgreSQL clusters. Sourced, never run; needs bash and what a Debian minbase has.
# A function that fails returns non-zero and says why on standard error; only `die` exits.

repo_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export LC_ALL=C.UTF-8

# --- progress -------------------------------------------------------------------------------

# One line with the time since the script began.
say() { printf '[%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }
warn() { printf '[%2d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }

# Says why on standard error, then leaves with status 1.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# The comment at the head of the calling script, from its second line to the first other line.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" | sed '/^$/{$d}'; }

# ask QUESTION: yes or no from the terminal. `assume_yes=1` in the caller answers yes.
ask() {
  local answer
  [ "${assume_yes:-0}" = 1 ] && return 0
  if ! { : </dev/tty; } 2>/dev/null; then
    die "there is no terminal to ask \"$1\": add --yes"
  fi
  read -r -p "$1 [y/N] " answer </dev/tty || return 1
  [[ $answer == [yY]* ]]
}

# --- clean-up -------------------------------------------------------------------------------

deferred=()

# defer COMMAND...: runs it when the script ends, in reverse order, whatever ended it.
defer() { deferred+=("$(printf '%q ' "$@")"); }

run_deferred() {
  local status=$? i
  trap '' INT TERM HUP
  for ((i = ${#deferred[@]} - 1; i >= 0; i--)); do eval "${deferred[i]}" || true; done
  deferred=()
  exit "$status"
}

# Must be called once by a script that uses defer or run_logged.
trap_exit() {
  trap run_deferred EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# without_lock COMMAND...: what outlives the script must not hold its lock (descriptor lock_fd).
without_lock() (
  [ -z "${lock_fd:-}" ] || exec {lock_fd}>&-
  "$@"
)

stop_group() { kill -TERM -- "-$1" 2>/dev/null; }

# run_logged LOG TITLE COMMAND...: output goes to LOG; every 20 s a line says how far it is.
# The command gets a process group of its own, so that Ctrl-C can end everything it started.
run_logged() {
  local log=$1 title=$2 job ticker status
  shift 2
  : >"$log" || return 1
  set -m
  without_lock "$@" </dev/null >>"$log" 2>&1 &
  job=$!
  while sleep 20 >/dev/null 2>&1; do
    say "  $title: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-80)"
  done &
  ticker=$!
  set +m
  defer stop_group "$job"
  defer stop_group "$ticker"
  wait "$job"
  status=$?
  stop_group "$ticker"
  wait "$ticker" 2>/dev/null
  unset 'deferred[-1]' 'deferred[-1]'
  return "$status"
}

# wait_for SECONDS COMMAND...: asks ten times a second until it succeeds or the time is over.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  while ! "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

# --- building -------------------------------------------------------------------------------

# build_dir DIR LOG OPTIONS...: configures DIR of the repository if it is not configured yet.
build_dir() {
  local dir=$1 log=$2
  shift 2
  [ -f "$dir/build.ninja" ] && return 0
  rm -rf -- "$dir"
  run_logged "$log" "configuring ${dir##*/}" meson setup "$dir" "$repo_root" "$@" || {
    tail -n 30 "$log" >&2
    return 1
  }
}

# compile DIR LOG TARGETS...: ninja; on failure the first errors are shown.
compile() {
  local dir=$1 log=$2
  shift 2
  run_logged "$log" "building ${dir##*/}" ninja -C "$dir" -k 20 "$@" && return 0
  warn "the build in $dir failed; $log holds everything, these are the first errors:"
  grep -m 12 -E -A 4 '(error|FAILED):|undefined reference' "$log" >&2 || tail -n 30 "$log" >&2
  return 1
}

# --- PostgreSQL -----------------------------------------------------------------------------

# A user's PGHOST and the like must not redirect what these scripts run.
for variable in "${!PG@}"; do
  [[ $variable == PGBRAID* ]] || unset "$variable"
done

# Prints the folder of the newest PostgreSQL that has all programs we need.
pg_bindir() {
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5,5nr) \
    "$(command -v pg_config >/dev/null && pg_config --bindir 2>/dev/null)"; do
    [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/pgbench" ] &&
      [ -x "$dir/psql" ] && printf '%s\n' "$dir" && return 0
  done
  return 1
}

# PostgreSQL refuses to run as root: there its own user runs it, or `nobody`.
pg_user() { if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

# as_pg COMMAND...: runs it as the user that may run PostgreSQL.
as_pg() (
  [ -z "${lock_fd:-}" ] || exec {lock_fd}>&-
  cd / || exit 1
  [ "$EUID" = 0 ] || exec "$@"
  user=$(pg_user)
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- "$@"
)

# free_port: prints a TCP port below the kernel's ephemeral range that nobody listens on and that
# this script did not name before.
taken_ports=' '
free_port() {
  local port hex tries
  for ((tries = 0; tries < 200; tries++)); do
    port=$((20000 + RANDOM % 12000))
    hex=$(printf ':%04X ' "$port")
    [[ $taken_ports == *" $port "* ]] && continue
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q -F -- "$hex" && continue
    printf '%s\n' "$port"
    return 0
  done
  warn 'no free TCP port found between 20000 and 31999'
  return 1
}

# cluster_create DIR AUTH PASSWORD: initdb in DIR/data; superuser postgres; AUTH is trust or
# scram-sha-256. DIR must be empty or absent, and reachable for pg_user.
cluster_create() {
  local dir=$1 auth=$2 password=$3 bin
  bin=$(pg_bindir) || { warn 'PostgreSQL is not installed'; return 1; }
  mkdir -p -- "$dir" && chmod 700 "$dir" || return 1
  (umask 077 && printf '%s\n' "$password" >"$dir/password") || return 1
  if [ "$EUID" = 0 ]; then chown -R "$(pg_user):" "$dir" || return 1; fi
  as_pg "$bin/initdb" --pgdata "$dir/data" --username postgres --auth "$auth" \
    --pwfile "$dir/password" --encoding UTF8 --locale C --no-sync >"$dir/initdb.log" 2>&1 || {
    warn "initdb in $dir failed:"
    tail -n 15 "$dir/initdb.log" >&2
    return 1
  }
}

# cluster_start DIR PORT: 127.0.0.1 only, plus a socket in DIR where its name is short enough.
# Nothing is synced to disk: the data is thrown away.
cluster_start() {
  local dir=$1 port=$2 bin sockets=''
  bin=$(pg_bindir) || return 1
  [ ${#dir} -gt 80 ] || sockets=$dir
  cat >>"$dir/data/postgresql.conf" <<CONF || return 1
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$sockets'
fsync = off
full_page_writes = off
max_connections = 200
CONF
  as_pg "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 start >/dev/null 2>&1 && return 0
  warn "PostgreSQL in $dir did not start:"
  tail -n 15 "$dir/log" >&2
  return 1
}

# cluster_stop DIR: a cluster that does not run, or does not exist, is fine.
cluster_stop() {
  local dir=$1 bin
  [ -f "$dir/data/postmaster.pid" ] || return 0
  bin=$(pg_bindir) || return 1
  as_pg "$bin/pg_ctl" -D "$dir/data" -m immediate -w -t 30 stop >/dev/null 2>&1
}
