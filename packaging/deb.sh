#!/bin/sh
# Builds the Debian package: sh packaging/deb.sh [FOLDER]
#
# The .deb and the one with its debug symbols are put into FOLDER (default: dist). As root it installs what is needed for that (packaging/deps.sh package).
# The sources are those of the last commit, or, where there is no git, what lies here.
set -eu
cd "$(dirname "$0")/.."
out=${1:-dist}
mkdir -p "$out"
out=$(cd "$out" && pwd)

sh packaging/deps.sh package

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/postern"
if git rev-parse HEAD >/dev/null 2>&1; then
  git archive HEAD | tar -x -C "$work/postern"
else
  tar -c --exclude=./build --exclude="./dist" . | tar -x -C "$work/postern"
fi
cp -R packaging/debian "$work/postern/debian"
cp packaging/systemd/postern.service packaging/systemd/postern.socket "$work/postern/debian/"
cd "$work/postern"
dpkg-buildpackage --build=binary --unsigned-changes --no-check-builddeps >"$out/build.log" 2>&1 || {
  tail -n 40 "$out/build.log" >&2
  echo "deb: this failed; the whole log is $out/build.log" >&2
  exit 1
}
cp "$work"/postern_*.deb "$work"/postern-dbgsym_*.deb "$out/"
ls "$out"/postern_*.deb
