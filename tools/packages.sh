#!/bin/sh
# Installs the Debian packages that the tests drive, and only those that are missing; then the JavaScript clients.
# Needs root or sudo for the former.
set -eu
cd "$(dirname "$0")/.."

# gcc: the race detector needs a C compiler. The others are the real peers: SIPp and baresip as phones and carriers,
# the AWS CLI and boto3 as API clients, dig as a DNS client, openssl as a TLS client, tshark to listen in on the wire, iproute2
# for a wire of the tests' own, haproxy as the load balancer in front of a node, Kamailio as a carrier's proxy, linphone as
# another phone, dnsmasq as the name server that carriers' hosts are found by, libsrtp as what many phones protect media with.
packages="gcc libc6-dev sip-tester baresip-core awscli python3-boto3 bind9-dnsutils ca-certificates openssl tshark iproute2 haproxy
	kamailio kamailio-tls-modules linphone-cli dnsmasq-base libsrtp2-1"

if ! command -v apt-get >/dev/null; then
	echo "packages: no apt-get here. Install by hand: $packages; run npm ci in interop/js; then make check" >&2
	exit 1
fi

# Node runs the JavaScript clients. One from elsewhere is as good, and Debian's npm would not go beside it.
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
	packages="$packages nodejs npm"
fi

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=""
for p in $packages; do
	installed "$p" || missing="$missing $p"
done

# javascript installs what interop/js/package-lock.json says, unless that is what is there.
javascript() {
	lock=interop/js/package-lock.json there=interop/js/node_modules/.installed
	if cmp -s "$lock" "$there"; then
		return
	fi
	echo "packages: npm ci in interop/js"
	(cd interop/js && npm ci --no-audit --no-fund --loglevel=error)
	cp "$lock" "$there"
}

if [ -z "$missing" ]; then
	javascript
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

# haproxy and Kamailio would be started as services of this machine, which nobody asked for: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	$root chmod 755 "$policy"
	trap '$root rm -f "$policy"' EXIT
fi

# A fresh machine has no package lists; an old one may have lists whose packages are gone.
# shellcheck disable=SC2086 # the list is meant to be split
if [ -z "$(apt-cache madison $missing 2>/dev/null)" ] || ! apt install -y --no-install-recommends $missing; then
	apt update
	apt install -y --no-install-recommends $missing
fi
javascript
