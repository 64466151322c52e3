#!/usr/bin/env bash
# Prints the path of a Python that the pinned requirements fit, or says what is
# wrong with those that were found. PYTHON=... names one.
set -uo pipefail

check='
import sys
if sys.version_info[:2] not in ((3, 11), (3, 12)):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
if sys.maxsize < 2**32:
    sys.exit("is a 32-bit build")
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit("cannot make environments (%s)" % error)
'
wrong=''
for python in ${PYTHON:-python3.11 python3.12 python3 python}; do
    if ! path=$(command -v "$python"); then
        wrong+="  $python: not found"$'\n'
    elif reason=$("$path" -c "$check" 2>&1); then
        echo "$path"
        exit 0
    else
        wrong+="  $path: ${reason%%$'\n'*}"$'\n'
    fi
done

cat >&2 <<MESSAGE
No suitable Python:
$wrong
The pinned requirements need a 64-bit Python 3.11 or 3.12 with its venv module
(on Debian and Ubuntu the package python3.11-venv). 3.11 is easier: on 3.12
xtcocotools is compiled. Name a Python that is not on the PATH with

    make setup PYTHON=/path/to/python3.11
MESSAGE
exit 1
