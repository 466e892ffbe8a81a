# SPDX-License-Identifier: MIT
# The package luo-dkms: known to DKMS, kept while a window is open, upgraded, removed.
# $1, $2: folders with this version of the packages and with a later one.
set -eu
export DEBIAN_FRONTEND=noninteractive
quiet() { "$@" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }; }
refused() {
    if "$@" >/tmp/log 2>&1; then
        echo 'it was not refused'
    else
        grep '^luo-dkms:' /tmp/log | sort -u
    fi
}
version() { dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' luo-dkms; }

quiet apt-get -q update
quiet apt-get -qy --no-install-recommends install "$1"/luo-tui_*.deb "$1"/luo-dkms_*.deb
dkms status | cut -d : -f 1
getent group liveupdate | cut -d : -f 1
ls /usr/lib/udev/rules.d/60-liveupdate.rules

window=/var/lib/luo-tui/windows/000001-20261127T010000.000000Z.jsonl
mkdir -p "${window%/*}"
cat >"$window" <<'X'
{"event": "opened", "at": "2026-11-27T01:00:00.000Z", "boot": "b", "up": 1.0, "format": 1}
X
refused apt-get -qy remove luo-dkms
refused apt-get -qy --no-install-recommends install "$2"/luo-dkms_*.deb
version

cat >>"$window" <<'X'
{"event": "closed", "at": "2026-11-27T02:00:00.000Z", "boot": "b", "up": 2.0, "format": 1}
X
quiet apt-get -qy --no-install-recommends install "$2"/luo-tui_*.deb "$2"/luo-dkms_*.deb
version
luo-tui --version
luo-tui history | tail -n 1 | cut -c 1-25
dkms status | cut -d : -f 1
quiet apt-get -qy purge luo-dkms
dkms status
ls -d /usr/src/luo-* 2>/dev/null || echo removed
