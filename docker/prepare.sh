#!/bin/sh
# Once, before the first start, as root: the directories that workers share with the engine's host, and passwords. What is
# there already stays as it is. With --host the services are at 127.0.0.1, for compose.host.yaml.
set -eu
umask 022
data=${ATLAS_DATA:-/var/lib/atlas}
secrets=${ATLAS_SECRETS:-$(dirname "$0")/secrets}
at() { if [ "${host:-}" ]; then echo 127.0.0.1; else echo "$1"; fi; }
host=; [ "${1:-}" != --host ] || host=yes

# `home` is the workers' own; its parent and the others are root's, so that nobody can put something else in their place.
mkdir -p "$data/home" "$data/run" "$data/guard"
chmod 755 "$data" "$data/run" "$data/guard"
chown 10001:10001 "$data/home" && chmod 700 "$data/home"

# Files that every user in a container may read, in a directory that nobody else on this host may enter.
mkdir -p "$secrets" && chmod 700 "$secrets"
write() { [ -e "$secrets/$1" ] || { cat >"$secrets/$1" && chmod 444 "$secrets/$1"; }; }
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
random | write postgres_password
random | write minio_password
echo atlas | write minio_user
broker=$(random)
printf 'default_user = atlas\ndefault_pass = %s\n' "$broker" | write rabbitmq.conf
broker=$(sed -n 's/^default_pass = //p' "$secrets/rabbitmq.conf")
echo "postgresql://atlas:$(cat "$secrets/postgres_password")@$(at postgres):5432/atlas" | write database_url
echo "amqp://atlas:$broker@$(at rabbitmq):5672/" | write broker_url
printf '[default]\naws_access_key_id = atlas\naws_secret_access_key = %s\n' "$(cat "$secrets/minio_password")" | write aws_credentials
echo "ready: $data, $secrets"
