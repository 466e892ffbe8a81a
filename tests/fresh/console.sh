# SPDX-License-Identifier: MIT
# In a root with nothing else: the package luo-tui is installed, used and purged.
# Prints a line for each thing that went well, and what went wrong.
set -eu
export DEBIAN_FRONTEND=noninteractive
quiet() { "$@" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }; }
install() { quiet apt-get -qy --no-install-recommends install "$@"; }
# All files but what apt, dpkg and Python write down for themselves.
files() {
    find / -xdev -not -type d -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' \
        -not -path '/var/cache/*' -not -path '/var/log/*' -not -path '/tmp/*' \
        -not -path '/home/*' -not -name '*.pyc' | sort
}

quiet apt-get -q update
install python3-psutil python3-pyudev python3-zstandard python3-lz4
files >/tmp/before
install "$1"/luo-tui_*.deb

# Nothing of it comes from where somebody stands, nor from his variables.
mkdir /tmp/trap
echo 'raise SystemExit("the trap was imported")' >/tmp/trap/textual.py
cd /tmp/trap
export PYTHONPATH=/tmp/trap
luo-tui --version
luo-tui status >/tmp/status || echo "status: $?"
head -n 1 /tmp/status
luo-tui demo --list | grep -o memory-short
luo-tui history | cut -d '(' -f 1
# The screen is drawn, by what is in the package alone.
(sleep 5; printf q; sleep 2; printf q) |
    TERM=xterm timeout 60 script -qec 'stty rows 24 cols 80; luo-tui demo --speed 0' /tmp/screen \
        >/dev/null 2>&1 || echo "demo: $?"
grep -aq NORMAL /tmp/screen && echo drawn
for page in man8/luo-tui.8 man8/luo-tui-holder.8 man5/luo-tui.toml.5 man5/luo-tui-plan.5 man7/luo-tui-runbook.7; do
    zcat "/usr/share/man/$page.gz" | grep -A 1 '^.SH NAME' | tail -n 1
done

grep -h ^ExecStart= /lib/systemd/system/luo-tui-arrive.service /usr/lib/systemd/system/luo-tui-arrive.service 2>/dev/null | sort -u
ls /etc/systemd/system/multi-user.target.wants/ | grep luo
sh -eu /etc/profile.d/luo-tui.sh && echo 'the login is told nothing'

mkdir -p /var/lib/luo-tui/windows
quiet apt-get -qy purge luo-tui
files >/tmp/after
diff /tmp/before /tmp/after && echo 'no file is left'
ls -d /usr/share/luo-tui /var/lib/luo-tui 2>/dev/null || echo 'no folder is left'
