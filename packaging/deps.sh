#!/bin/sh
# Installs the Debian 12 packages that a task needs, and only those that are missing:
#
#   sh packaging/deps.sh build          to compile postern
#   sh packaging/deps.sh demo           to compile it and run packaging/demo.sh
#   sh packaging/deps.sh tests          to compile it and run every test
#   sh packaging/deps.sh package        to make a Debian package of it
#
# What drives the browser of the tests comes from npm, in the version that tests/system/browser/package-lock.json names.
#
# With everything in place it asks nothing of apt and needs no privileges. Otherwise it says what it installs, and no
# daemon is started by it: the tests start servers of their own. Exim cannot be installed beside Postfix, nor Cyrus beside a
# Dovecot that serves IMAP: their programs are unpacked into folders that only the tests know, and Exim gets the user that
# it looks up by name.
set -eu

build="build-essential pkg-config meson ninja-build android-libboringssl-dev libuv1-dev libfmt-dev libtomlplusplus-dev
  libc-ares-dev libcli11-dev libexpected-dev libhttp-parser-dev libidn2-dev libpsl-dev libseccomp-dev nlohmann-json3-dev
  libsqlite3-dev zlib1g-dev"
demo="openssl python3"
tests="openssl curl python3 python3-pytest python3-pytest-xdist catch2 clang libclang-rt-14-dev llvm dovecot-core
  dovecot-lmtpd dovecot-sieve swaks gnutls-bin postfix haproxy libnet-ssleay-perl libio-socket-ssl-perl libnet-dns-perl mandoc iproute2
  lego dehydrated pebble msmtp nmap sslscan python3-yaml python3-prometheus-client systemd bind9 bind9-utils bind9-dnsutils
  postfix-mta-sts-resolver chromium-headless-shell fish zsh
  libidn12 libdb5.3 libgnutls-dane0 libnsl2 libpcre2-8-0 libldap-2.5-0 libmariadb3 libperl5.36 libpq5
  libspf2-2 libical3 libxapian30"  # from libidn12 on for Exim and Cyrus
package="debhelper fakeroot"
unpacked=/usr/local/lib/postern-tests

case "${1-}" in
  build) wanted=$build ;;
  demo) wanted="$build $demo" ;;
  tests) wanted="$build $tests" ;;
  package) wanted="$build $package" ;;
  *)
    echo "usage: sh packaging/deps.sh build|demo|tests|package" >&2
    exit 2
    ;;
esac

installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Packages that are unpacked, and a program in each. The light Exim sends and stores; the heavy one knows the PROXY protocol.
unpacked_packages="exim4-daemon-light exim4-daemon-heavy cyrus-common cyrus-imapd"
folder_of() {
  case "$1" in
    exim4-daemon-light) echo "$unpacked/exim4" ;;
    exim4-daemon-heavy) echo "$unpacked/exim4-heavy" ;;
    cyrus-*) echo "$unpacked/cyrus" ;;
  esac
}
program_of() {
  case "$1" in
    exim4-*) echo usr/sbin/exim4 ;;
    cyrus-common) echo usr/lib/cyrus/bin/master ;;
    cyrus-imapd) echo usr/lib/cyrus/bin/lmtpd ;;
  esac
}

# Debian's nodejs has no npm in it, others have.
if [ "$1" = tests ]; then
  command -v node >/dev/null || wanted="$wanted nodejs"
  command -v npm >/dev/null || wanted="$wanted npm"
fi

browser_files=$(dirname "$0")/../tests/system/browser
browser_is_missing() {
  [ ! -d "$unpacked/browser/node_modules/playwright-core" ] ||
    ! cmp -s "$browser_files/package-lock.json" "$unpacked/browser/package-lock.json"
}

missing=
for package in $wanted; do
  installed "$package" || missing="$missing $package"
done
unpack=
if [ "$1" = tests ]; then
  for package in $unpacked_packages; do
    [ -x "$(folder_of "$package")/$(program_of "$package")" ] || unpack="$unpack $package"
  done
  id Debian-exim >/dev/null 2>&1 || unpack="$unpack exim4-daemon-light"
fi
browser=
if [ "$1" = tests ] && browser_is_missing; then browser=playwright-core; fi
if [ -z "$missing$unpack$browser" ]; then
  echo "packages: all are installed"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then
  [ -z "$missing" ] || echo "packages: missing:$missing" >&2
  [ -z "$unpack$browser" ] || echo "packages: missing in $unpacked: $unpack $browser" >&2
  echo "packages: run this as root${missing:+, or: apt-get install$missing}" >&2
  exit 1
fi

# Debian allows one mail server at a time: installing Postfix removes an Exim that may be in use.
case "$missing " in
  *" postfix "*)
    for server in exim4-daemon-light exim4-daemon-heavy opensmtpd sendmail-bin courier-mta nullmailer msmtp-mta; do
      if installed "$server" && [ "${POSTERN_REPLACE_MTA-}" != yes ]; then
        echo "packages: the tests need tools of postfix, and to install it would remove $server from this machine." >&2
        echo "packages: run them in a container, or allow it with POSTERN_REPLACE_MTA=yes" >&2
        exit 1
      fi
    done
    ;;
esac

# invoke-rc.d asks this file whether it may start a daemon; 101 is "no".
policy=/usr/sbin/policy-rc.d
policy_is_ours=
cleanup() {
  [ -z "$policy_is_ours" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ ! -e "$policy" ]; then
  policy_is_ours=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

install_browser_driver() {
  rm -rf "$unpacked/browser"
  mkdir -p "$unpacked/browser"
  cp "$browser_files/package.json" "$browser_files/package-lock.json" "$unpacked/browser/"
  (cd "$unpacked/browser" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=5)
}

if [ -z "$missing$unpack" ]; then
  echo "packages: installing with npm: $browser"
  install_browser_driver
  echo "packages: done"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
echo "packages: installing with apt-get:$missing${unpack:+, unpacking: $unpack}"
echo "packages: apt-get update"
apt-get update -qq
case "$missing " in
  *" postfix "*) echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections ;;
esac
echo "packages: apt-get install"
log=$(mktemp)
# shellcheck disable=SC2086  # a list of names
if [ -n "$missing" ] && ! apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 $missing >"$log" 2>&1; then
  cat "$log" >&2
  echo "packages: apt-get failed; its output is above" >&2
  rm -f "$log"
  exit 1
fi
for package in $unpack; do
  folder=$(mktemp -d)
  if ! (cd "$folder" && apt-get download -qq -o Acquire::Retries=3 "$package" && mkdir -p "$(folder_of "$package")" &&
    dpkg-deb -x "$package"_*.deb "$(folder_of "$package")") >"$log" 2>&1; then
    cat "$log" >&2
    echo "packages: $package cannot be unpacked; the output is above" >&2
    rm -rf "$log" "$folder"
    exit 1
  fi
  rm -rf "$folder"
  id Debian-exim >/dev/null 2>&1 ||
    useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin Debian-exim
done
rm -f "$log"
if [ -n "$browser" ]; then
  echo "packages: installing with npm: $browser"
  install_browser_driver
fi
echo "packages: done"
