#!/bin/sh
# PgBouncer wants the password in a file, to sign in at Postgres with it; it is in memory only (the folder is a tmpfs).
set -eu
test -n "${POSTGRES_PASSWORD:-}" || { echo "Set POSTGRES_PASSWORD" >&2; exit 1; }
umask 077
printf '"connect" "%s"\n' "$(printf %s "$POSTGRES_PASSWORD" | sed 's/"/""/g')" >/run/pgbouncer/userlist.txt
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
