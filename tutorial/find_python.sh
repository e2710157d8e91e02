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
# The one in .venv comes first: what was chosen once stays chosen.
for name in .venv/bin/python python3 python3.14 python3.13 python3.12 python3.11 python
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
