#!/bin/sh
# Once, before the first start, as root: the directories that workers share with the engine's host, and passwords. What is
# there already stays as it is. With --host the services are at 127.0.0.1, for compose.host.yaml.
set -eu
umask 022
# The same settings as compose has: the environment, then .env beside this file.
settings=$(dirname "$0")/.env
if [ -e "$settings" ]; then
    while IFS='=' read -r name value || [ "$name" ]; do
        case $name in ATLAS_*[!A-Z_]*) ;; ATLAS_*) eval "$name=\${$name:-\$value}" ;; esac
    done <"$settings"
fi
data=${ATLAS_DATA:-/var/lib/atlas}
secrets=${ATLAS_SECRETS:-$(dirname "$0")/secrets}
at() { if [ "${host:-}" ]; then echo "127.0.0.1:$3"; else echo "$1:$2"; fi; }
host=; [ "${1:-}" != --host ] || host=yes

# `home` is the workers' own; its parent and the others are root's, so that nobody can put something else in their place.
# Who owned them before keeps them as they are: /data or /home may be named by mistake.
made() { [ -d "$1" ] || { mkdir -p "$1" && chmod "$2" "$1"; }; }
made "$data" 755
for each in run guard; do made "$data/$each" 755; done
[ -d "$data/home" ] || { made "$data/home" 700 && chown 10001:10001 "$data/home"; }
if [ "$(stat -c %u "$data/home")" != 10001 ]; then
    echo "$data/home is there already and is not the workers' (10001): give it to them, or name another directory in ATLAS_DATA" >&2
    exit 1
fi

# Files that every user in a container may read, in a directory that nobody else on this host may enter.
made "$secrets" 700
if [ "$(stat -c %a "$secrets")" != 700 ]; then
    echo "others may enter $secrets, which is there already: chmod 700 it, or name another directory in ATLAS_SECRETS" >&2
    exit 1
fi
write() { [ -e "$secrets/$1" ] || { cat >"$secrets/$1" && chmod 444 "$secrets/$1"; }; }
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
random | write postgres_password
random | write minio_password
random | write token
echo atlas-root | write minio_user
broker=$(random)
printf 'default_user = atlas\ndefault_pass = %s\n' "$broker" | write rabbitmq.conf
broker=$(sed -n 's/^default_pass = //p' "$secrets/rabbitmq.conf")
echo "postgresql://atlas:$(cat "$secrets/postgres_password")@$(at postgres 5432 "${ATLAS_POSTGRES_PORT:-5432}")/atlas" | write database_url
echo "amqp://atlas:$broker@$(at rabbitmq 5672 "${ATLAS_RABBITMQ_PORT:-5672}")/" | write broker_url
# The workers' own user at MinIO, whom bucket.sh makes there: the root user is for nobody but bucket.sh.
printf '[default]\naws_access_key_id = atlas-worker\naws_secret_access_key = %s\n' "$(random)" | write aws_credentials
echo "ready: $data, $secrets"
# The engine has to see what the guard mounts there.
if [ "$(findmnt --noheadings --output PROPAGATION --target "$data" 2>/dev/null || echo shared)" = private ]; then
    echo "but $data is not on a shared mount, and containers could not have parts of it; before the start, and after each boot:" >&2
    echo "  mount --bind $data $data && mount --make-shared $data" >&2
fi
