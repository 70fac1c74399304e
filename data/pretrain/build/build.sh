#!/bin/sh
# Rebuilds data/pretrain from data/atoms, data/minicoin and Debian's type families.
set -eu
cd "$(dirname "$0")"
fonts="fonts-dejavu-core fonts-lato fonts-roboto-slab fonts-open-sans fonts-liberation2 fonts-crosextra-carlito
fonts-crosextra-caladea fonts-vollkorn fonts-quicksand fonts-inconsolata fonts-junction fonts-cabin fonts-karla
fonts-linuxlibertine"
for package in $fonts fontconfig; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="${missing-} $package"
done
[ -z "${missing-}" ] || apt-get install -y --no-install-recommends $missing
[ -d .venv ] || { python3 -m venv .venv && .venv/bin/pip install -q numpy pillow; }
.venv/bin/python -B build.py
