# The loop on a machine with a kernel of its own: a display manager whose
# compositor holds a graphics card, and cgroup controllers that are alive.
# shellcheck source-path=SCRIPTDIR/../../machine/files source=lib.bash
. /usr/lib/dubnium-test/lib.bash

cards() { [[ -c /dev/dri/card0 && -c /dev/dri/card1 ]]; }
is() { [[ $(observe-current) == "$1" ]]; }

# request MODE brings the machine to a mode, and shows how it went.
request() {
	mode request "$1" || fail "mode request $1: exit status $?: $(
		mode status
		journalctl -n 40 --no-pager
	)"
	is "$1" || fail "after $1: $(mode status)"
}

# setting SLICE FILE VALUE holds that the kernel has the value, not only systemd.
setting() {
	local got
	got=$(cat "/sys/fs/cgroup/$1/$2") || fail "$1 has no $2"
	[[ $got == "$3" ]] || fail "$1/$2 is '$got', want '$3'"
	say "$1/$2 = $got"
}

eventually 60 cards || fail "no cards: $(ls /dev/dri)"
# Started before the cards were there, the display manager may have given up on them.
systemctl stop greetd.service
rm -f /run/greetd.run
systemctl reset-failed greetd.service
systemctl start display-manager.service || fail "the display manager doesn't start"
eventually 60 held_by sway || fail "no compositor on a card: $(sessions)"
eventually 60 is desktop || fail "no desktop: $(mode status)"
say "a desktop: greetd, sway on card 0"
mode status

systemctl start interactive.slice ai.slice platform.slice
setting interactive.slice cpu.weight 200
setting ai.slice memory.high max

request studio-local
setting interactive.slice cpu.weight 1000
setting interactive.slice io.weight "default 1000"
setting user.slice cpu.weight 1000
setting ai.slice cpu.weight 10
setting ai.slice memory.high 4294967296
setting platform.slice cpu.weight 20
setting platform.slice memory.high 8589934592
held_by sway || fail "the overlay took the session away"

request desktop
setting interactive.slice cpu.weight 200
setting user.slice cpu.weight 100
setting ai.slice cpu.weight 100
setting ai.slice memory.high max
setting platform.slice cpu.weight 100

request compute
unheld || fail "somebody holds a card in compute: $(holders)"
say "nobody holds a card"
session_like 'Class=(user|greeter)' && fail "a session is left: $(sessions)"
mode status

# Somebody's process takes a card: compute is not what it promises any more, and the culprit is named.
systemd-run --quiet --unit=holder --slice=user-1000.slice --uid=tester --property=SupplementaryGroups=video \
	bash -c 'exec 3</dev/dri/card1; exec sleep 300'
eventually 20 is degraded-compute || fail "a holder goes unseen: $(
	holders
	mode status
)"
[[ $(mode status) == *"display-holder-in-compute: sleep (pid "* ]] || fail "the holder is not named: $(mode status)"
check_gpu_display_released
systemctl stop holder.service
eventually 20 is compute || fail "the holder is gone, but: $(mode status)"

request desktop
# The session of the first boot is not started again: what comes is the login screen.
eventually 60 held_by cage || fail "no login screen: $(sessions)"
mode status
say "walked the loop"

# A sound card that is no hardware: what plays and records is seen past all audio servers.
bash /usr/lib/dubnium-test/snd-dummy.bash || fail "the audio guard missed something"
