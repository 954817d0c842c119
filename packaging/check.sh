#!/bin/sh
# Builds postern and passes every test, from a clean clone on a fresh Debian 12 as root:
#
#   build        g++                      every suite, and the system tests
#   build-asan   clang++, ASan and UBSan  unit, transcripts, loop; every fuzzer for 10 s; the system tests once more
#   build-tsan   clang++, TSan            the suites that have to do with threads (tagged `tsan` in meson)
#
# It installs what is missing with apt-get (packaging/deps.sh). The last line is `N passed, N failed`; the exit code is
# zero only when nothing failed, crashed or was skipped. Logs and JUnit results stay in the three folders.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
python=/usr/bin/python3
fuzz_seconds=10
started=$(date +%s)
child=

say() {
  printf '[%4ds] %s\n' "$(($(date +%s) - started))" "$*"
}

# In the background of a script an interrupt is ignored: it has to be passed on.
stop() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || true
  exit 130
}
trap stop INT TERM HUP

# run LOG COMMAND...: the output goes to LOG; every half minute one line says how far it has come.
run() {
  log=$1
  shift
  "$@" >"$log" 2>&1 </dev/null &
  child=$!
  seconds=0
  while kill -0 "$child" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    if [ $((seconds % 30)) = 0 ]; then
      say "  ... $(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c 1-80)"
    fi
  done
  status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

# configure DIR CXX [MESON OPTION...]
configure() {
  tree=$1
  compiler=$2
  shift 2
  mkdir -p "$tree"
  say "$tree: configuring with $compiler"
  if [ -e "$tree/build.ninja" ]; then
    run "$tree/check-setup.log" meson setup --reconfigure "$tree" "$@" || give_up "$tree/check-setup.log"
  else
    run "$tree/check-setup.log" env CXX="$compiler" meson setup "$tree" "$@" || give_up "$tree/check-setup.log"
  fi
}

# compile DIR [TARGET...]
compile() {
  tree=$1
  shift
  say "$tree: compiling"
  run "$tree/check-compile.log" ninja -C "$tree" "$@" || give_up "$tree/check-compile.log"
  rm -rf "$tree/junit"
  mkdir -p "$tree/junit"
}

give_up() {
  tail -n 60 "$1"
  say "this failed; the whole log is $1"
  echo "0 passed, 1 failed"
  exit 1
}

# programs_of TREE SUITE: the programs of a suite as ninja knows them, so that nothing else need be compiled.
programs_of() {
  meson introspect "$1" --tests | "$python" -c '
import json, os, sys
build, suite = os.path.realpath(sys.argv[1]), sys.argv[2]
for test in json.load(sys.stdin):
    if "postern:" + suite in test["suite"]:
        print(os.path.relpath(test["cmd"][0], build))
' "$1" "$2"
}

# programs TREE SUITE...: the Catch2 programs. What failed is found in the results afterwards.
programs() {
  tree=$1
  shift
  suites=
  for suite in "$@"; do
    suites="$suites --suite $suite"
  done
  say "$tree: $*"
  # shellcheck disable=SC2086  # a list of options
  run "$tree/check-programs.log" meson test -C "$tree" --no-rebuild --logbase check --timeout-multiplier 4 $suites ||
    say "$tree: something failed"
}

system_tests() {
  tree=$1
  say "$tree: system tests"
  run "$tree/check-system.log" env POSTERN_BUILD="$root/$tree" "$python" -m pytest tests/system -n 2 \
    --junitxml="$root/$tree/junit/system.xml" -p no:cacheprovider -q || say "$tree: something failed"
}

sh packaging/deps.sh tests

export PYTHONDONTWRITEBYTECODE=1
# No debug information in any of them: it would take a fifth of the time. Sanitizers find the lines all the same.
configure build g++ -Ddebug=false
compile build
programs build unit transcripts loop
system_tests build

# Not UBSan's vptr check: it needs a descriptor to look at memory, and reports an error where a test has used all up.
configure build-asan clang++ -Db_sanitize=address,undefined -Db_lundef=false -Dfuzzers=true \
  -Doptimization=1 -Ddebug=false "-Dcpp_args=['-fno-sanitize=vptr', '-gline-tables-only']"
compile build-asan
export ASAN_OPTIONS=detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
programs build-asan unit transcripts loop
say "build-asan: fuzzers, $fuzz_seconds s each"
run build-asan/check-fuzzers.log "$python" tests/support/run_fuzzers.py build-asan "$fuzz_seconds" ||
  say "build-asan: something failed"
system_tests build-asan

configure build-tsan clang++ -Db_sanitize=thread -Db_lundef=false \
  -Doptimization=1 -Ddebug=false -Dcpp_args=-gline-tables-only
# shellcheck disable=SC2046  # a list of programs
compile build-tsan $(programs_of build-tsan tsan)
export TSAN_OPTIONS="suppressions=$root/tests/tsan.supp:halt_on_error=1"
programs build-tsan tsan

say "all has run"
exec "$python" tests/support/tally.py \
  --programs build:unit,transcripts,loop --junit build/junit/system.xml \
  --programs build-asan:unit,transcripts,loop \
  --junit build-asan/junit/fuzzers.xml --junit build-asan/junit/system.xml \
  --programs build-tsan:tsan
