# The loop on a machine with a kernel of its own: a display manager whose compositor holds a
# graphics card, and cgroup controllers that are alive. The display goes through all that happens to
# displays; in every state the guards and the observer have to agree with what logind and the kernel show.
#
# GPU 0 is the first card, which has the display, GPU 1 is the second one.
# shellcheck source-path=SCRIPTDIR source=display.bash
. /usr/lib/dubnium-test/display.bash

# request MODE brings the machine to a mode, and shows how it went.
request() {
	mode request "$1" || fail "mode request $1: exit status $?: $(
		mode status
		journalctl -n 40 --no-pager
	)"
	is "$1" || fail "after $1: $(mode status)"
}

# log_in starts the display manager as after a boot: the desktop comes without a password.
log_in() {
	rm -f /run/greetd.run
	systemctl reset-failed greetd.service
	systemctl start display-manager.service || fail "the display manager doesn't start"
}

# setting SLICE FILE VALUE holds that the kernel has the value, not only systemd.
setting() {
	local got
	got=$(cat "/sys/fs/cgroup/$1/$2") || fail "$1 has no $2"
	[[ $got == "$3" ]] || fail "$1/$2 is '$got', want '$3'"
	printf '   %s = %s\n' "$1/$2" "$got"
}

# platform CPU IO MEMORY holds that k3s is the process that it was after the boot, that the kernel has
# it below platform.slice, and that the slice's budget is this one.
platform() {
	[[ $(systemctl show k3s.service -P MainPID) == "$k3s" ]] || fail "k3s is another: $(systemctl status k3s.service --no-pager)"
	grep -qx "$k3s" /sys/fs/cgroup/platform.slice/k3s.service/cgroup.procs || fail "k3s is in $(cat "/proc/$k3s/cgroup")"
	setting platform.slice cpu.weight "$1"
	setting platform.slice io.weight "default $2"
	setting platform.slice memory.high "$3"
}

# hold CARD starts holder.service, a program of the person's that has a card open, as holder.
hold() {
	systemd-run --quiet --unit=holder --slice=user-1000.slice --uid=tester --property=SupplementaryGroups=video \
		bash -c "exec 3</dev/dri/card$1; exec sleep 300"
	eventually 60 held_by sleep || fail "nobody takes card $1: $(holders)"
	holder=$(systemctl show holder.service -P MainPID)
}

desktop='Type=wayland Class=user Active=yes State=active'
drawn='sway:0 systemd-logind:0 systemd:0' # the second card is nobody's

step "start: a desktop on the first card, the second one is free"
# shellcheck disable=SC2317 # eventually calls it
cards() { [[ -c /dev/dri/card0 && -c /dev/dri/card1 ]]; }
eventually 240 cards || fail "no cards: $(ls /dev/dri)"
systemctl stop greetd.service # started before the cards were there, it may have given up on them
log_in
becomes "$desktop" "$drawn"
eventually 240 is desktop || fail "no desktop: $(
	mode status
	systemctl status mode-boot.service desktop.target --no-pager
)"
truth "$desktop" "$drawn" "sway systemd-logind"
guards 0:session-present 17:session-present 0:terminable 11:held-by-compositor
[[ $said == "sway (pid $(pgrep -x sway), uid 1000) in session $(desk) holds card0" ]] || fail "said of the first card: $said"
observed desktop
mode status
k3s=$(systemctl show k3s.service -P MainPID)
platform 150 120 6442450944

step "the profile gives the second card to compute, and none to the display: it is free"
profile=(--config /usr/lib/dubnium-test/compute.toml)
echo 0x10de >/run/nvidia
mount --bind /run/nvidia /sys/bus/pci/devices/0000:00:05.0/vendor
guard gpu_display_released 0:released "${profile[@]}"
[[ $said == *"; sway (pid $(pgrep -x sway), uid 1000) in session $(desk) holds card0, which is another card, and 2 more" ]] || fail "said: $said"
hold 1
guard gpu_display_released 11:held-by-session "${profile[@]}"
[[ $said == "sleep (pid $holder, uid 1000) in holder.service holds card1" ]] || fail "said of the second card: $said"
systemctl stop holder.service
umount /sys/bus/pci/devices/0000:00:05.0/vendor
becomes "$desktop" "$drawn"

step "studio-local: weights that the kernel has"
systemctl start interactive.slice ai.slice
setting interactive.slice cpu.weight 200
setting ai.slice memory.high max
request studio-local
setting interactive.slice cpu.weight 1000
setting interactive.slice io.weight "default 1000"
setting user.slice cpu.weight 1000
setting ai.slice cpu.weight 10
setting ai.slice memory.high 4294967296
platform 15 20 8589934592
held_by sway || fail "the overlay took the session away"

step "desktop again: the weights of before"
request desktop
setting interactive.slice cpu.weight 200
setting user.slice cpu.weight 100
setting ai.slice cpu.weight 100
setting ai.slice memory.high max
platform 150 120 6442450944

step "VT switch: a person looks at a console, nobody draws, and the desktop keeps the card"
away='Type=wayland Class=user Active=no State=online'
chvt 2
becomes "$away" "$drawn"
truth "$away" "$drawn" ""
guards 0:session-present 17:session-present 0:terminable 11:held-by-compositor
observed desktop
chvt 1
becomes "$desktop" "$drawn"
truth "$desktop" "$drawn" "sway systemd-logind"

step "lock: a locked desktop is a desktop"
in_session 'swaylock --ready-fd 3 3>/tmp/locked'
eventually 240 test -s /tmp/locked || fail "the desktop doesn't lock"
# That lock tells logind nothing; others do.
session=$(busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetSession s "$(desk)" | cut -d'"' -f2)
busctl call org.freedesktop.login1 "$session" org.freedesktop.login1.Session SetLockedHint b true || fail "logind takes no hint"
[[ $(loginctl show-session "$(desk)" -P LockedHint) == yes ]] || fail "logind does not know that it is locked"
truth "$desktop" "$drawn" "sway systemd-logind"
guards 0:session-present 17:session-present 0:terminable 11:held-by-compositor
observed desktop
pkill -USR1 -x swaylock

step "logind restarts under the desktop: it forgets what it is, the compositor stays"
sway=$(pgrep -x sway)
systemctl restart systemd-logind.service
becomes 'Type=tty Class=user Active=yes State=active' 'sway:0'
for fd in /proc/"$sway"/fd/*; do readlink "$fd"; done | grep '/dri/' | sort | uniq -c | sed 's/^/   names:/'
for fd in /proc/"$sway"/fd/*; do readlink "$fd"; done | grep -q '^/dev/dri/' && fail "the names tell the truth, so that this step shows nothing"
truth 'Type=tty Class=user Active=yes State=active' 'sway:0' ''
guards 16:no-session 17:compositor-running 0:terminable 11:held-by-compositor
[[ $said == "sway (pid $sway, uid 1000) in session $(desk) holds card0" ]] || fail "said of the first card: $said"
observed degraded-desktop compositor-without-graphical-session
systemd-inhibit --what=shutdown --who=editor --why='unsaved work' --mode=block sleep 1000 &
inhibitor=$!
# shellcheck disable=SC2317 # eventually calls it
inhibited() { [[ $(systemd-inhibit --list) == *'unsaved work'* ]]; }
eventually 60 inhibited || fail "no inhibitor"
guard graphical_session_terminable 17:inhibited
kill "$inhibitor"

step "compute: from what is left of the desktop; every card is free, the driver says so too"
request compute
truth '' '' ''
guards 16:no-session 0:no-session 0:no-session 0:released
observed compute
mode status
platform 150 120 6442450944

step "somebody takes the second card in compute: named, and compute is not what it promises"
hold 1
truth '' 'sleep:1' ''
guards 16:no-session 0:no-session 0:no-session 11:held-by-session
[[ $said == "sleep (pid $holder, uid 1000) in holder.service holds card1" ]] || fail "said of the second card: $said"
observed degraded-compute display-holder-in-compute
[[ $(mode status) == *"display-holder-in-compute: sleep (pid $holder, "* ]] || fail "the holder is not named: $(mode status)"
systemctl stop holder.service
eventually 60 is compute || fail "the holder is gone, but: $(mode status)"

step "desktop, with a program on the second card that ignores to be ended"
rm -f /run/greetd.run
request desktop
becomes "$desktop" "$drawn"
in_session /usr/lib/dubnium-test/stubborn
eventually 60 test -s /tmp/stubborn || fail "it does not start"
stubborn=$(cat /tmp/stubborn) session=$(desk)

step "compute is refused after the fact: the program is named, the login screen is back"
code=0 out=$(mode request compute 2>&1) || code=$?
printf '%s\n' "$out"
if [[ $code != 42 ]]; then
	mode history --last 1 --json
	fail "exit status $code, not 42: the desktop is back, but its old session does not end"
fi
[[ $out == *"stubborn (pid $stubborn"* ]] || fail "the program is not named"
becomes 'Class=greeter Active=yes State=active' 'cage:0 stubborn:129 systemd-logind:0 systemd:0'
session_like 'Type=tty Class=user .*State=closing' || fail "its session does not close: $(sessions)"
guards 16:only-greeter '17:(session-closing|greeter-present)' 17:session-closing 11:held-by-session
[[ $said == "stubborn (pid $stubborn, uid 1000) in session $session holds renderD129"* ]] || fail "said: $said"
observed degraded-desktop stale-gpu-holder

step "the program is killed, and the machine gets to compute"
kill -KILL "$stubborn"
request compute
becomes '' ''
guards 16:no-session 0:no-session 0:no-session 0:released

step "the compositor is killed: its session stays for a moment, without a display"
rm -f /run/greetd.run
request desktop
becomes "$desktop" "$drawn"
# Who would clean up is held, so that the moment lasts.
leader=$(loginctl show-session "$(desk)" -P Leader)
kill -STOP "$leader"
pkill -KILL -x sway
becomes 'Type=tty Class=user Active=yes State=active' ''
truth 'Type=tty Class=user Active=yes State=active' '' ''
guards 16:no-session 0:no-session 0:no-session 0:released
observed degraded-desktop
kill -CONT "$leader"

step "the login screen follows"
becomes 'Type=wayland Class=greeter .*Active=yes State=active' 'cage:0 systemd-logind:0 systemd:0'
guards 16:only-greeter 17:greeter-present 0:terminable 11:held-by-greeter
observed desktop

step "stop: the display manager stops, and every card is free"
systemctl stop greetd.service
becomes '' ''
eventually 60 gone "$leader" || fail "the session's leader is still there"
guards 16:no-session 0:no-session 0:no-session 0:released

step "a sound card that is no hardware: what plays and records is seen past all audio servers"
bash /usr/lib/dubnium-test/snd-dummy.bash || fail "the audio guard missed something"
