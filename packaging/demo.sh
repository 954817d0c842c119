#!/bin/sh
# Shows postern working, on a fresh Debian 12 as root: installs what is missing with apt-get, builds, mints example
# certificates, starts the mail store and posternd on 127.0.0.1:2525 (STARTTLS) and 127.0.0.1:2465 (implicit TLS),
# and delivers one message to each of three host names, asking for each name's certificate by SNI. Then posternd stays
# in the foreground; Ctrl-C ends everything. Nothing outside build/ is touched, but for the packages.
#
# POSTERN_BUILT names a build tree whose programs are used as they are, POSTERN_DEMO the folder to work in (build/demo).
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=${POSTERN_BUILT:-build}
log=$root/build/demo-build.log
postern=$build/daemon/postern
patience=20  # seconds

say() {
  printf 'demo: %s\n' "$*"
}

give_up() {
  say "$*" >&2
  exit 1
}

posternd=
store=
end() {
  status=$?
  trap - EXIT INT TERM HUP
  # posternd first: a message that is past its end is still handed to the store.
  for process in $posternd $store; do
    kill -TERM "$process" 2>/dev/null || true
    wait "$process" || true
  done
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

sh packaging/deps.sh demo

if [ -z "${POSTERN_BUILT-}" ]; then
  mkdir -p build
  say "building (the compiler's output is in $log)"
  if [ ! -e build/build.ninja ]; then
    meson setup build >"$log" 2>&1 || { tail -n 30 "$log" >&2; give_up "meson failed"; }
  fi
  ninja -C build daemon/postern daemon/posternd >>"$log" 2>&1 || { tail -n 30 "$log" >&2; give_up "the build failed"; }
fi

# Socket paths may have 107 octets.
POSTERN_DEMO=${POSTERN_DEMO:-$root/build/demo}
if [ "${#POSTERN_DEMO}" -gt 90 ]; then
  POSTERN_DEMO=$(mktemp -d)/demo
fi
export POSTERN_DEMO
mkdir -p "$POSTERN_DEMO/state"
say "minting certificates in $POSTERN_DEMO/certs"
sh certs-example/make.sh "$POSTERN_DEMO/certs"

# wait_for PROCESS NAME COMMAND...: until the command succeeds; it is hopeless once the process has ended.
wait_for() {
  process=$1
  name=$2
  shift 2
  tries=$((patience * 10))
  until "$@" >/dev/null 2>&1; do
    kill -0 "$process" 2>/dev/null || give_up "$name has ended: see above"
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || give_up "$name is not ready after $patience s"
    sleep 0.1
  done
}

say "starting postern store, an LMTP server that writes Maildirs"
rm -f "$POSTERN_DEMO/store.log"
# In a session of its own, so that Ctrl-C reaches it only through end().
setsid "$postern" store --listen "unix:$POSTERN_DEMO/lmtp" --maildir "$POSTERN_DEMO/mail" >"$POSTERN_DEMO/store.log" &
store=$!
wait_for "$store" "postern store" grep -q "^listening on" "$POSTERN_DEMO/store.log"

say "starting posternd with packaging/demo.toml"
"$build/daemon/posternd" -c packaging/demo.toml &
posternd=$!
wait_for "$posternd" posternd "$postern" status --control "$POSTERN_DEMO/control"
"$postern" status --control "$POSTERN_DEMO/control"

/usr/bin/python3 packaging/demo_deliver.py 127.0.0.1:2525 "$POSTERN_DEMO/certs/ca.pem" "$POSTERN_DEMO/mail"

say "posternd goes on at 127.0.0.1:2525 and, with TLS from the start, at 127.0.0.1:2465. Try:"
cat <<END
  openssl s_client -connect 127.0.0.1:2525 -starttls smtp -servername mail.example.com \\
    -CAfile $POSTERN_DEMO/certs/ca.pem
  $postern status --control $POSTERN_DEMO/control
  sh certs-example/make.sh $POSTERN_DEMO/certs && $postern reload --control $POSTERN_DEMO/control
END
say "Ctrl-C ends it."
trap "exit 0" INT
status=0
wait "$posternd" || status=$?
posternd=
exit "$status"
