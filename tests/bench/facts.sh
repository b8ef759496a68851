#!/bin/bash
# The facts of mode status, gathered as an administrator would, without Dubnium: as few commands as
# will do, each asked for all that it knows. It prints the facts and concludes nothing from them.
set -uo pipefail

units=(desktop.target compute.target graphical.target studio-local-policy.service audio-priority.service
	vllm.service display-manager.service)
slices=(interactive.slice ai.slice platform.slice user.slice)
compositors='Hyprland|sway|river|niri|labwc|wayfire|weston|cage|gnome-shell|kwin_wayland|Xorg'
state=/run/mode-controller

echo "boot: $(systemctl is-system-running)"

sessions=()
while read -r id _; do sessions+=("$id"); done < <(loginctl list-sessions --no-legend)
((${#sessions[@]} == 0)) ||
	loginctl show-session "${sessions[@]}" -p Id -p Name -p Type -p Class -p State -p Seat -p VTNr -p Service -p Leader -p Scope

systemctl show -p Id -p LoadState -p ActiveState -p SubState -p Result -p CPUWeight -p IOWeight -p MemoryHigh \
	"${units[@]}" "${slices[@]}"

pgrep --list-full --exact "$compositors"

if systemctl --quiet is-active vllm.service; then
	curl --silent --show-error --max-time 5 --output /dev/null --write-out 'vllm: %{http_code}\n' http://127.0.0.1:8000/health
fi

for file in desired transition.json last-transition.json; do
	[[ ! -r $state/$file ]] || printf '%s: %s\n' "$file" "$(<"$state/$file")"
done
flock --nonblock --shared "$state/lock" true || echo "a transition is under way"
