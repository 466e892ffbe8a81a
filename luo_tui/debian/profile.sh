# SPDX-License-Identifier: MIT
# Whoever logs in on a host that an update has left half way is told so.
if [ -r /sys/kernel/liveupdate/state ]; then
	read -r luo_tui_state </sys/kernel/liveupdate/state || luo_tui_state=
	case $luo_tui_state in
	prepared | frozen) echo "This host is $luo_tui_state for a live update: sudo luo-tui" ;;
	updated) echo "This host was updated live, and waits for its finish: sudo luo-tui" ;;
	esac
	unset luo_tui_state
fi
