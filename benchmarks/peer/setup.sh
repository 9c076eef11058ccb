#!/usr/bin/env bash
# Makes the virtual environment of the peer library, apart from Palate's own.
#
#   benchmarks/peer/setup.sh [FOLDER]        default: .venv-rectools at the root of the repository
#
# PYTHON names the interpreter (default python3; 3.11 or 3.12, which the pinned numpy allows).
# Running it again is cheap: a folder made from the same constraints is left as it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=${1:-$root/.venv-rectools}
python=${PYTHON:-python3}
constraints=$here/constraints.txt
stamp=$venv/constraints.installed

if [ -x "$venv/bin/python" ] && cmp -s "$constraints" "$stamp"; then
    exit 0
fi

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))'; then
    echo "setup.sh: the peer's pinned packages need Python 3.11 or 3.12; set PYTHON to such an interpreter" >&2
    exit 1
fi

"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$constraints" 'rectools[torch]==0.19.0' pyarrow
"$venv/bin/python" -c 'import pyarrow, rectools.models.nn.transformers.sasrec'
cp "$constraints" "$stamp"
