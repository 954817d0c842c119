#!/bin/sh
# Makes a clean Debian 12 of its own in a folder, as root: sh packaging/debian-root.sh FOLDER
#
# debootstrap makes it; with POSTERN_DEB_ROOT it is a copy of the one that lies there, which is made when it is missing and
# kept for the next time. POSTERN_DEB_MIRROR is where debootstrap gets its packages. No package starts a daemon in it.
set -eu
root=$1
base=${POSTERN_DEB_ROOT:-$root}
if [ ! -e "$base/etc/debian_version" ]; then
  echo "debian-root: debootstrap"
  log=$(mktemp)
  # shellcheck disable=SC2086  # nothing, or one address
  if ! debootstrap --variant=minbase bookworm "$base" ${POSTERN_DEB_MIRROR-} >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "debian-root: debootstrap failed; the end of its output is above" >&2
    exit 1
  fi
  rm -f "$log"
fi
[ "$base" = "$root" ] || cp -a "$base" "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
