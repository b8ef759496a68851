# shellcheck shell=bash
# For scripts in the virtual machine: . /usr/lib/dubnium-test/lib.bash
# Device numbers are evidence, names are not: a node that was opened in another mount namespace,
# logind's for one, reads /dri/card0.

fail() { printf 'FAIL: %s\n' "$*" && exit 1; }
say() { printf '[%s] %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"; }

# step TITLE... begins a step of the test, and tells how long the one before it took. When the
# script ends, however it ends, all of them are listed.
step() {
	trap steps EXIT
	ended
	title=$* began=${EPOCHREALTIME/./}
	say "== $*"
}
title='' began='' took=()
ended() {
	[[ $began ]] || return 0
	local time=$(((${EPOCHREALTIME/./} - began) / 100000))e-1
	took+=("$(printf '%6.1f s  %s' "$time" "$title")")
	printf '   took %.1f s\n' "$time"
	began=''
}
steps() {
	ended
	printf '%s\n' 'The steps, and how long each took:' "${took[@]}"
}

# holders prints pid, command, fd and minor number of all open DRM nodes (major 226).
holders() {
	local major minor file pid
	stat -L -c '%t %T %n' /proc/[0-9]*/fd/* 2>/dev/null | while read -r major minor file; do
		[[ $major == e2 ]] || continue
		pid=${file#/proc/} && pid=${pid%%/*}
		printf '%s %s %s %d\n' "$pid" "$(cat "/proc/$pid/comm" 2>/dev/null)" "${file##*/}" "0x$minor"
	done
}
held_by() { [[ $(holders) == *" $1 "* ]]; }
unheld() { [[ -z $(holders) ]]; }

# sessions prints what logind says about each session, one a line.
sessions() {
	local id
	for id in $(loginctl list-sessions --no-legend | awk '{print $1}'); do
		loginctl show-session "$id" -p Id -p Name -p Type -p Class -p Seat -p VTNr -p Active -p State 2>/dev/null | paste -sd' '
	done
}
session_like() { [[ $(sessions) =~ $1 ]]; }

# eventually SECONDS COMMAND... waits until the command succeeds.
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.2
	done
}
