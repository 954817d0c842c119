#!/bin/sh
# Mints certificates to try postern with: a small CA, and a leaf for each host name, in the layout of certbot.
#
#   sh certs-example/make.sh DIR [NAME...]
#
#   DIR/ca.pem, DIR/ca-key.pem
#   DIR/live/NAME/fullchain.pem, DIR/live/NAME/privkey.pem
#
# The last name gets an RSA key, the others have P-256 keys. What exists and is still good for a week is kept, so it can
# be run again and again. Never trust this CA outside your own tests: its key lies there unprotected.
set -eu

if [ $# -lt 1 ]; then
  echo "usage: sh certs-example/make.sh DIR [NAME...]" >&2
  exit 2
fi
dir=$1
shift
[ $# -gt 0 ] || set -- mx1.example.net mail.example.com mx.example.org

umask 077
mkdir -p "$dir/live"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
week=$((7 * 24 * 3600))

# What openssl has to say on standard error is shown only when it fails.
quietly() {
  "$@" 2>"$scratch/errors" || {
    cat "$scratch/errors" >&2
    exit 1
  }
}

still_good() { # PEM
  [ -s "$1" ] && openssl x509 -in "$1" -noout -checkend "$week" >/dev/null 2>&1
}

if ! still_good "$dir/ca.pem" || [ ! -s "$dir/ca-key.pem" ]; then
  cat >"$scratch/ca.cnf" <<END
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
O = postern
CN = postern example CA $(date +%Y-%m-%d)
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
  quietly openssl req -x509 -config "$scratch/ca.cnf" -days 3650 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
    -keyout "$dir/ca-key.pem" -out "$dir/ca.pem"
  echo "minted $dir/ca.pem"
fi

mint() { # NAME, KEY OPTIONS
  name=$1
  shift
  leaf="$dir/live/$name"
  if still_good "$leaf/fullchain.pem" && [ -s "$leaf/privkey.pem" ] &&
    openssl verify -CAfile "$dir/ca.pem" -verify_hostname "$name" "$leaf/fullchain.pem" >/dev/null 2>&1; then
    return
  fi
  cat >"$scratch/leaf.cnf" <<END
[req]
prompt = no
distinguished_name = name
[name]
CN = $name
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:$name
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
  mkdir -p "$leaf"
  quietly openssl req -new -config "$scratch/leaf.cnf" -nodes "$@" -keyout "$scratch/key.pem" -out "$scratch/request.pem"
  quietly openssl x509 -req -in "$scratch/request.pem" -CA "$dir/ca.pem" -CAkey "$dir/ca-key.pem" -days 397 \
    -set_serial "0x$(openssl rand -hex 16 | sed 's/^./4/')" -extfile "$scratch/leaf.cnf" -extensions extensions \
    -out "$scratch/leaf.pem"
  # The key first: whoever watches the folder must not find a new chain beside an old key for longer than needed.
  mv "$scratch/key.pem" "$leaf/privkey.pem"
  mv "$scratch/leaf.pem" "$leaf/fullchain.pem"
  echo "minted $leaf/fullchain.pem"
}

while [ $# -gt 1 ]; do
  mint "$1" -newkey ec -pkeyopt ec_paramgen_curve:P-256
  shift
done
mint "$1" -newkey rsa:2048
