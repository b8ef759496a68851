# The life of a display manager: it starts, its compositor holds the card, it stops, the card is free.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. /usr/lib/dubnium-test/lib.bash
# shellcheck disable=SC2317 # eventually calls it
cards() { [[ -c /dev/dri/card0 && -c /dev/dri/card1 ]]; }

say "staged: $(hello)"
[[ $(cat /etc/layer) == staged ]] || fail "the overlay is missing"
[[ $(cat /sys/fs/cgroup/cgroup.controllers) == *cpu*io*memory* ]] || fail "no cgroup controllers"
systemctl set-property --runtime ssh.service CPUWeight=77
[[ $(cat /sys/fs/cgroup/system.slice/ssh.service/cpu.weight) == 77 ]] || fail "a weight without effect"
eventually 120 cards || fail "no cards: $(ls /dev/dri)"
say "two cards, nobody holds them"
unheld || fail "held before anything started: $(holders)"

systemctl start display-manager.service || fail "the display manager doesn't start"
eventually 120 held_by sway || fail "no compositor on a card: $(sessions)"
eventually 60 session_like 'Name=tester .*Seat=seat0.*Type=wayland Class=user Active=yes State=active' ||
	fail "no session: $(sessions)"
say "a desktop holds card 0"
sessions
holders
holders | grep -q ' 1$' && fail "somebody holds card 1"

systemctl stop greetd.service || fail "the display manager doesn't stop"
eventually 60 unheld || fail "not released: $(holders)"
# shellcheck disable=SC2317
ended() { ! session_like Class=user; }
eventually 60 ended || fail "the session goes on: $(sessions)"
say "released"
exit 7
