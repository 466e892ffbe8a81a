# SPDX-License-Identifier: MIT
# What the shells complete, by the package's own files; a line for each question.
set -eu
export DEBIAN_FRONTEND=noninteractive
{ apt-get -q update && apt-get -qy --no-install-recommends install "$1"/luo-tui_*.deb \
    bash-completion fish zsh; } >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
mkdir -p /var/lib/luo-tui/windows
cat >/var/lib/luo-tui/windows/000007-20261127T010000.000000Z.jsonl <<'X'
{"event": "opened", "at": "2026-11-27T01:00:00.000Z", "boot": "b", "up": 1.0, "format": 1}
X
luo-tui complete windows

cat >/tmp/try.bash <<'X'
. /usr/share/bash-completion/bash_completion
. /usr/share/bash-completion/completions/luo-tui
try() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _shtab_luo_tui luo-tui "${@: -1}" "${@: -2:1}"
    echo "bash: ${COMPREPLY[@]}"
}
try luo-tui sta
try luo-tui watch --until pre
try luo-tui watch --kind reso
try luo-tui journal ""
X
bash /tmp/try.bash
fish -c 'complete -C "luo-tui sta"' | cut -f 1 | sed 's/^/fish: /'
fish -c 'complete -C "luo-tui journal "' | cut -f 1 | grep 7 | sed 's/^/fish: /'
zsh -n /usr/share/zsh/vendor-completions/_luo-tui && echo 'zsh: read'
