#!/bin/sh
# Makes the pack from what fetch.sh left in $1 (default: .work beside this folder), checks it, and writes SHA256SUMS.
# Options after $1 go to build.py: --seed N makes a pack that nobody has seen, --out FOLDER makes it elsewhere.
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$here/../.work}
[ $# -gt 0 ] && shift
python=$work/venv/bin/python
"$python" "$here/build.py" --work "$work" "$@"
"$python" "$here/check.py" "$@"
"$python" "$here/sums.py" "$@"
