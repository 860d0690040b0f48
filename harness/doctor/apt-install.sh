#!/bin/sh
# Install the distribution packages that are missing. The only place where the harness calls apt-get:
# .ci/venv uses it before there is a Python environment, `harness doctor --fix` afterwards.
#
#   usage: apt-install.sh PACKAGE...
#   exit:  0 all of them are installed; 2 they are not, and the last line says what to type
set -u

missing=
for package; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = 'install ok installed' ] ||
        missing="$missing $package"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

say() { printf '%s\n' "$*" >&2; }
by_hand="apt-get update && sudo apt-get install -y --no-install-recommends $missing"

if ! command -v apt-get >/dev/null 2>&1; then
    say "This system has no apt-get. Install with its own package manager what Debian calls: $missing"
    exit 2
fi
if [ "$(id -u)" != 0 ]; then
    say "Only root may install system packages. Type: sudo $by_hand"
    exit 2
fi

# apt-get waits for dpkg's lock but not for the lock of its lists: two set-ups side by side take turns here.
# The descriptor is closed for apt-get, or a service started by a package would hold the lock for ever.
exec 9>>/var/lib/dpkg/harness-setup.lock
command -v flock >/dev/null 2>&1 && flock 9

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C
log=$(mktemp "${TMPDIR:-/tmp}/harness-apt.XXXXXX") || exit 2

apt() {
    apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Dpkg::Use-Pty=0 "$@" \
        </dev/null >>"$log" 2>&1 9>&-
}

install() {
    # shellcheck disable=SC2086  # a list of names
    apt install --no-install-recommends $missing
}

known() {
    for package in $missing; do
        apt-cache show "$package" >/dev/null 2>&1 || return 1
    done
}

update() {
    say 'Reading the package lists (usually a few seconds)…'
    for pause in 5 15 30; do
        apt update && return 0
        grep -q 'Could not get lock' "$log" || return 1
        sleep "$pause"
    done
    return 1
}

# An earlier installation that was killed half-way blocks every later one until dpkg has tidied up.
dpkg --configure -a </dev/null >>"$log" 2>&1 9>&-
known || update
say "Installing system packages: $missing (usually a minute or less)…"
if ! install && { ! update || ! install; }; then
    tail -n 15 "$log" >&2
    say "The system packages could not be installed; the whole log is $log. Once its cause is mended, type: sudo $by_hand"
    exit 2
fi
rm -f "$log"
