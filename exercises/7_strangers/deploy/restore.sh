# Puts a backup into an empty database, while nobody uses it.
# restore.sh FILE, with DATABASE_URL in the environment.
set -eu
pg_restore --exit-on-error --single-transaction --no-owner \
    --dbname="$DATABASE_URL" "$1"
# Numbers of messages that came after the backup will be given out again. In a new epoch,
# pages that have seen them know.
psql --quiet --set=ON_ERROR_STOP=1 "$DATABASE_URL" --command="
    UPDATE chat_chatroom SET epoch = left(md5(random()::text || id), 8)"
