#!/bin/sh
# Tests a Debian package of postern in a clean Debian 12 of its own: sh packaging/deb-test.sh postern_VERSION_ARCH.deb
#
# lintian, install, start as the unit would start it, upgrade, remove, purge. As root: it makes a root file system with
# debootstrap under /tmp (or in the folder POSTERN_DEB_ROOT, kept for the next time), and changes nothing else here.
set -eu
deb=$(realpath "$1")
work=$(mktemp -d /tmp/postern-deb-XXXXXX)
root=$work/root
daemon=   # the process of posternd
waiting=  # the shell that waits for it

cleanup() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  [ -z "$waiting" ] || wait "$waiting" 2>/dev/null || true
  umount "$root/proc" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { echo "deb-test: $*"; }
die() {
  say "$*" >&2
  exit 1
}
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"; }
# What the unit gives posternd: its user, folders, no new privileges, and the one capability.
as_the_unit() {
  inside install -d -m 750 -o postern -g postern /var/lib/postern /run/postern
  inside setpriv --reuid postern --regid postern --init-groups --no-new-privs --bounding-set=-all,+net_bind_service \
    --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service /usr/sbin/posternd -c /etc/postern/posternd.toml "$@"
}
wait_for() {
  for _ in $(seq 100); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  die "this did not come true: $*"
}

files() { (cd "$root" && find etc lib run usr var -xdev -not -path 'var/cache/*' | sort); }
start() {
  as_the_unit 2>"$work/log" &
  waiting=$!
  wait_for inside postern status
  daemon=$(inside postern status --json | sed 's/.*"pid": *\([0-9]*\).*/\1/')
}
stop() {
  kill "$daemon"
  wait "$waiting" || die "posternd ended with $?: $(cat "$work/log")"
  daemon=
  waiting=
  rmdir "$root/run/postern"  # as systemd does it; nothing may be left in it
}

say "lintian"
lintian --allow-root --fail-on error --tag-display-limit 0 "$deb"

sh "$(dirname "$0")/debian-root.sh" "$root"
mount -t proc proc "$root/proc"
files >"$work/before"

say "install"
mkdir "$root/debs"
cp "$deb" "$root/debs/old.deb"
inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends /debs/old.deb >"$work/install.log" 2>&1 || { cat "$work/install.log"; die "it cannot be installed"; }
inside id postern >/dev/null || die "there is no user postern"
inside posternd --version
inside postern --version
for page in man1/postern.1 man5/postern.toml.5 man8/posternd.8; do
  [ -s "$root/usr/share/man/$page.gz" ] || [ -e "$root/etc/dpkg/dpkg.cfg.d/docker" ] || die "$page is missing"
done
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/postern.service" ] || die "it is enabled before it is configured"

say "start"
mkdir -p "$root/etc/postern/certs"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=mx.example.test \
  -addext subjectAltName=DNS:mx.example.test -keyout "$root/etc/postern/certs/key.pem" -out "$root/etc/postern/certs/chain.pem" 2>/dev/null
inside chown postern /etc/postern/certs/key.pem
cat >"$root/etc/postern/posternd.toml" <<'END'
hostname = "mx.example.test"
[[listen]]
address = ["127.0.0.1:25"]
default_certificate = "mx.example.test"
[[certificate]]
chain = "/etc/postern/certs/chain.pem"
key = "/etc/postern/certs/key.pem"
[certificates]
roots = "/etc/postern/certs/chain.pem"
[[backend]]
name = "store"
deliver = "lmtp"
to = ["unix:/run/store"]
[[domain]]
name = "example.test"
backend = "store"
END
sed -i "s/127.0.0.1:25\"/127.0.0.1:${POSTERN_TEST_PORT:-2525}\"/" "$root/etc/postern/posternd.toml"
cp "$root/etc/postern/posternd.toml" "$work/posternd.toml"
as_the_unit --check || die "posternd --check has a complaint"
start
wait_for grep -q "is ready" "$work/log"

say "upgrade"
dpkg-deb -R "$root/debs/old.deb" "$work/newer"
sed -i 's/^\(Version: .*\)$/\1+newer1/' "$work/newer/DEBIAN/control"
dpkg-deb -Zgzip -z1 -b "$work/newer" "$root/debs/new.deb" >/dev/null
inside apt-get install -y -qq /debs/new.deb >"$work/upgrade.log" 2>&1 || { cat "$work/upgrade.log"; die "it cannot be upgraded"; }
inside dpkg-query -W -f '${Version}\n' postern | grep -q '+newer1$' || die "the old version is still there"
cmp -s "$work/posternd.toml" "$root/etc/postern/posternd.toml" || die "the upgrade has changed the configuration"
inside postern status >/dev/null || die "the upgrade ended what was running"
stop
start
stop

say "remove"
inside apt-get remove -y -qq postern >"$work/remove.log" 2>&1 || { cat "$work/remove.log"; die "it cannot be removed"; }
[ ! -e "$root/usr/sbin/posternd" ] || die "posternd is still there"
[ -e "$root/var/lib/postern/ledger.key" ] || die "remove took the state with it"
cmp -s "$work/posternd.toml" "$root/etc/postern/posternd.toml" || die "remove took the configuration with it"

say "purge"
inside apt-get purge -y -qq postern >"$work/purge.log" 2>&1 || { cat "$work/purge.log"; die "it cannot be purged"; }
[ ! -e "$root/var/lib/postern" ] || die "purge left /var/lib/postern"
cmp -s "$work/posternd.toml" "$root/etc/postern/posternd.toml" || die "purge took a file that the administrator wrote"
files | comm -13 "$work/before" - | grep postern | grep -v '^etc/postern' >"$work/left" || true
[ ! -s "$work/left" ] || die "purge left: $(cat "$work/left")"

say "all is well"
