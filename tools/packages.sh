#!/bin/sh
# Installs the Debian packages that the tests drive, and only those that are missing. Needs root or sudo.
set -eu

# gcc: the race detector needs a C compiler. The others are the real peers: SIPp and baresip as phones and carriers,
# the AWS CLI and boto3 as API clients, dig as a DNS client, openssl as a TLS client, tshark to listen in on the wire, haproxy
# as the load balancer in front of a node.
packages="gcc libc6-dev sip-tester baresip-core awscli python3-boto3 bind9-dnsutils ca-certificates openssl tshark haproxy"

if ! command -v apt-get >/dev/null; then
	echo "packages: no apt-get here. Install by hand: $packages; then run: make check" >&2
	exit 1
fi

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=""
for p in $packages; do
	installed "$p" || missing="$missing $p"
done
if [ -z "$missing" ]; then
	echo "packages: all installed"
	exit 0
fi

root=""
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "packages: missing$missing, and neither root nor sudo to install them" >&2
		exit 1
	fi
	root="sudo"
fi

apt() {
	echo "packages: apt-get $*"
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
}

# A fresh machine has no package lists; an old one may have lists whose packages are gone.
# shellcheck disable=SC2086 # the list is meant to be split
if [ -z "$(apt-cache madison $missing 2>/dev/null)" ] || ! apt install -y --no-install-recommends $missing; then
	apt update
	apt install -y --no-install-recommends $missing
fi
