#!/usr/bin/env bash
# What chive's tests and demo need beside Go: C tor to run a private network of,
# nats-server for nodes to meet at, curl and torsocks to go through chive, ip for an address that torsocks allows, and
# the C compiler without which Go has no race detector. Called by `make deps`.
#
# Nothing to do: says so and ends. Root on Debian or Ubuntu: installs what is
# missing. Otherwise: prints the command that installs it, and exits 1.
#
# The tor that is installed is a program for us, never a service: no script of
# its package may start it against the public network. Nor is nats-server one: it
# would let in anybody on the machine.
set -euo pipefail

# command → Debian package. Of tor-geoipdb and ca-certificates only files matter.
declare -A package_of=([tor]=tor [torsocks]=torsocks [curl]=curl [nats-server]=nats-server [ip]=iproute2 [gcc]=gcc)
declare -A package_of_file=(
	[/usr/share/tor/geoip]=tor-geoipdb
	[/etc/ssl/certs/ca-certificates.crt]=ca-certificates
	[/usr/include/stdlib.h]=libc6-dev
)

say() { printf 'deps: %s\n' "$*"; }

have() { PATH="$PATH:/usr/sbin:/usr/bin" command -v "$1" >/dev/null; }

missing_packages() {
	local command file
	for command in "${!package_of[@]}"; do
		have "$command" || echo "${package_of[$command]}"
	done | sort -u
	for file in "${!package_of_file[@]}"; do
		[ -e "$file" ] || echo "${package_of_file[$file]}"
	done | sort -u
}

# Go itself is not installed here: distributions' packages are too old for go.mod.
check_go() {
	local want got go=${GO:-go}
	want=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$(dirname "$0")/../go.mod")
	if ! command -v "$go" >/dev/null; then
		say "Go $want or newer is missing: see https://go.dev/doc/install" >&2
		return 1
	fi
	got=$(cd / && "$go" env GOVERSION)
	got=${got#go}
	got=${got%%[!0-9.]*}
	if [ "$(printf '%s\n' "$want" "$got" | sort -V | head -n 1)" != "$want" ]; then
		# From Go 1.21 on, an older go fetches the toolchain that go.mod names.
		if [ "$(printf '%s\n' 1.21 "$got" | sort -V | head -n 1)" != 1.21 ]; then
			say "Go $got is too old, $want or newer is needed: see https://go.dev/doc/install" >&2
			return 1
		fi
		say "Go $got will fetch the toolchain go.mod asks for ($want)"
	fi
}

# invoke-rc.d asks policy-rc.d before a package's script starts a service; 101
# forbids it. It is put there for the time of the installation, unless the
# system has one of its own.
POLICY=/usr/sbin/policy-rc.d
our_policy=
kept_policy=

# Invoked by the trap.
# shellcheck disable=SC2329
restore_policy() {
	[ -z "$our_policy" ] || rm -f "$POLICY"
	[ -z "$kept_policy" ] || mv -f "$kept_policy" "$POLICY"
}

forbid_services() {
	trap restore_policy EXIT
	trap 'exit 130' INT TERM
	if [ -e "$POLICY" ]; then
		kept_policy=$POLICY.chive-kept
		mv -f "$POLICY" "$kept_policy"
	fi
	our_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$POLICY"
	chmod 755 "$POLICY"
	# The packages also enable their services for the next boot; a mask forbids that.
	have tor || mask tor tor@default
	have nats-server || mask nats-server
}

# mask keeps services from starting at the next boot. Where the program was there
# before, its service is somebody's and stays as it is.
mask() {
	[ -d /etc/systemd/system ] || return 0
	local unit
	for unit in "$@"; do
		[ -e "/etc/systemd/system/$unit.service" ] || ln -s /dev/null "/etc/systemd/system/$unit.service"
	done
	say "never started as a service: $1 (to have it later: systemctl unmask $*)"
}

install() {
	export DEBIAN_FRONTEND=noninteractive
	local known=yes p
	for p in "$@"; do
		apt-cache show "$p" >/dev/null 2>&1 || known=
	done
	[ -n "$known" ] || apt-get update
	forbid_services
	# A list of packages may name versions that the archive has replaced since.
	apt-get install -y --no-install-recommends "$@" || {
		apt-get update
		apt-get install -y --no-install-recommends "$@"
	}
}

main() {
	check_go
	local packages
	mapfile -t packages < <(missing_packages)
	if [ ${#packages[@]} -eq 0 ]; then
		say "nothing to install"
		return
	fi
	if ! command -v apt-get >/dev/null; then
		say "missing: ${packages[*]} (names of Debian packages). This system has no apt-get: install their like, then run this again." >&2
		return 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		say "missing: ${packages[*]}. Install with:" >&2
		printf '\n  sudo apt-get update && sudo apt-get install --no-install-recommends %s\n\n' "${packages[*]}" >&2
		say "(the services that come with tor and nats-server are not needed: sudo systemctl disable --now tor nats-server)" >&2
		return 1
	fi
	say "installing ${packages[*]}"
	install "${packages[@]}"
	mapfile -t packages < <(missing_packages)
	if [ ${#packages[@]} -gt 0 ]; then
		say "still missing after the installation: ${packages[*]}" >&2
		return 1
	fi
	say "done"
}

main "$@"
