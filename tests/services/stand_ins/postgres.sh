#!/bin/sh
# A new volume is made into a cluster with the user, password and database that are asked for; then the command runs.
set -eu
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --encoding=UTF8 --locale=C.UTF-8 --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
		--auth-local=trust --auth-host=scram-sha-256 >/dev/null
	echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
	pg_ctl --wait --silent --options="-c listen_addresses=" start
	createdb --username="$POSTGRES_USER" --maintenance-db=postgres "$POSTGRES_DB"
	pg_ctl --wait --silent --mode=fast stop
fi
exec "$@"
