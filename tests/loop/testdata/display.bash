# shellcheck shell=bash
# What is true of the display, and what Dubnium says of it: . /usr/lib/dubnium-test/display.bash
# The truth is logind's and the kernel's: sessions, open DRM nodes by their numbers, DRM masters.
# shellcheck source-path=SCRIPTDIR/../../machine/files source=lib.bash
. /usr/lib/dubnium-test/lib.bash

# users prints who has which DRM nodes open, as "COMMAND:MINOR ...": card0 is 0, renderD129 is 129.
users() { holders | awk '{print $2 ":" $4}' | LC_ALL=C sort -u | paste -sd' '; }
# masters prints who may draw on the first card.
masters() {
	awk 'FNR == 1 { for (i = 1; i <= NF; i++) if ($i == "master") last = NF - i }
		FNR > 1 && $(NF - last) == "y" { print $1 }' /sys/kernel/debug/dri/0/clients | LC_ALL=C sort -u | paste -sd' '
}
# desk prints the id of the person's session.
desk() { loginctl list-sessions --no-legend | awk '$3 == "tester" && $6 == "user" { print $1; exit }'; }

# truth SESSION USERS MASTERS holds that a session is like that, and who has and draws on the cards.
# With no SESSION there is none of a person or a greeter.
truth() {
	if [[ $1 ]]; then
		session_like "$1" || fail "no session is like '$1': $(sessions)"
	else
		session_like 'Class=(user|greeter)' && fail "a session is there: $(sessions)"
	fi
	[[ $(users) == "$2" ]] || fail "the cards are held by '$(users)', not by '$2'"
	[[ $(masters) == "$3" ]] || fail "the first card is drawn on by '$(masters)', not by '$3'"
	printf '   truth: session %s; cards %s; drawn on by %s\n' "${1:-none}" "${2:-free}" "${3:-nobody}"
}
# becomes SESSION USERS waits until the truth is so.
becomes() {
	eventually 240 is_so "$@" || fail "never became: session '$1', cards '$2': $(
		sessions
		users
	)"
}
# shellcheck disable=SC2317 # eventually calls it
is_so() { [[ $(users) == "$2" ]] && { [[ -z $1 ]] || session_like "$1"; }; }

# guard NAME CODE:REASON [FLAG...] holds what a guard answers, and leaves its message in said. REASON
# is a regular expression.
guard() {
	local out code=0 want=$2
	out=$(check_"$1" --timeout=60s "${@:3}") || code=$?
	said=${out#*\"message\":\"} && said=${said%%\",\"evidence\"*}
	[[ $code == "${want%%:*}" && $out =~ \"reason\":\"${want#*:}\" ]] || fail "check_$1: not $want: exit status $code, $out"
	printf '   %-34s %-22s %s\n' "check_$1" "$want" "$said"
}
# guards PRESENT ABSENT TERMINABLE RELEASED holds what the guards of the display answer, each as
# CODE:REASON. The last one's message stays in said.
guards() {
	guard graphical_session_present "$1"
	guard graphical_session_absent "$2"
	guard graphical_session_terminable "$3"
	guard gpu_display_released "$4"
}
# observed STATE [CONFLICT] holds what the observer says: the state, and a conflict or none. Both are
# regular expressions.
observed() {
	local out
	out=$(observe-current --json) || fail "observe-current: exit status $?: $out"
	[[ $out =~ \"observed_state\":\ *\"$1\" ]] || fail "not observed as $1: $(observe-current), ${out##*\"conflicts\"}"
	if [[ ${2-} ]]; then
		[[ $out =~ \"code\":\ *\"$2\" ]] || fail "the observer does not tell of $2: ${out##*\"conflicts\"}"
	else
		[[ $out =~ \"conflicts\":\ *\[\] ]] || fail "the observer tells of conflicts: ${out##*\"conflicts\"}"
	fi
	printf '   observed   %s\n' "$1${2:+, $2}"
}
is() { [[ $(observe-current) == "$1" ]]; }

# in_session COMMAND runs a command as a program of the desktop, as its menu would.
in_session() {
	swaymsg --quiet --socket "/run/user/1000/sway-ipc.1000.$(pgrep -x sway).sock" exec "$1" || fail "the desktop does not run $1"
}
# gone PID tells whether a process has ended.
gone() { ! kill -0 "$1" 2>/dev/null; }
