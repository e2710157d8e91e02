# Writes all that is stored to a new file, and keeps the files of two weeks.
# backup.sh FOLDER, with DATABASE_URL in the environment.
set -eu
umask 077
file="$1/$(date +%Y-%m-%d-%H%M%S).dump"
# Who restored logins would restore some that have been ended.
pg_dump --format=custom --file="$file.part" \
    --exclude-table-data=django_session --exclude-table-data=chat_tries \
    "$DATABASE_URL"
mv "$file.part" "$file" # What has that name is whole.
find "$1" -name "*.dump*" -mtime +14 -delete
