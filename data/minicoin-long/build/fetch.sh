#!/bin/sh
# Fetches and unpacks the pinned sources into $1 (default: .work beside this folder), with a Python that has
# NumPy and Pillow in $1/venv. Needs apt-get, dpkg, libfribidi0 and a python3 (3.11 or later) with venv.
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$here/../.work}
mkdir -p "$work/deb" "$work/pip"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q -r "$here/requirements.txt"

cd "$work/deb"
for p in dataset-fashion-mnist=0.0~git20200523.55506a9-1 python3-sklearn=1.2.1+dfsg-1 \
  iso-flags-png-320x240=1.0.2-2; do
  apt-get download -q "$p"
done
while read -r name version; do apt-get download -q "$name=$version"; done < "$here/../../minicoin/build/fonts.txt"
for d in *.deb; do dpkg -x "$d" ..; done

cd "$work/pip"
"$work/venv/bin/pip" download -q --no-deps geopandas==0.14.4
"$work/venv/bin/python" -m zipfile -e geopandas-0.14.4-*.whl ..
