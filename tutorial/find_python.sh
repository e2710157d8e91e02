# Print a Python that is new enough: sh tutorial/find_python.sh [THE ONE ASKED FOR]

if [ -n "$1" ]; then
    if command -v "$1" >/dev/null 2>&1; then
        echo "$1"
        exit 0
    fi
    echo "There is no Python called $1 here. Name one that you have:" \
        "make run PYTHON=python3.12" >&2
    exit 1
fi

any=
# The one in .venv comes first: what was chosen once stays chosen. Then the one that is
# called when nobody says which, then the newest, of those too that are yet to come.
names=".venv/bin/python python3"
minor=39
while [ "$minor" -ge 11 ]; do
    names="$names python3.$minor"
    minor=$((minor - 1))
done
for name in $names python
do
    if { "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; } 2>/dev/null
    then
        echo "$name"
        exit 0
    fi
    if [ -z "$any" ] && { "$name" -c ''; } 2>/dev/null; then
        any=$name
    fi
done

if [ -n "$any" ]; then
    echo "$any" # it is too old, and bootstrap.py says so
    exit 0
fi
echo "There is no Python here. Install Python 3.11 or newer, then start again." >&2
exit 1
