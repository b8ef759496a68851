# shellcheck shell=sh disable=SC2034
# What a host is told when Dubnium's files come and go. scripts/install reads this, and it is part
# of the scripts in the packages, so it is plain sh.

dubnium_config=/etc/dubnium/dubnium.toml
# What starts with the machine; everything else, a mode or the operator starts.
dubnium_boot='mode-boot.service mode-observe.service'

# dubnium_stays names the logs and data that outlive the files.
dubnium_stays() {
	echo "/var/lib/mode-controller (the history of the transitions), /var/lib/dubnium (models, rooms, the vault) and /var/lib/dubnium-memory (memories)," \
		"with the accounts that own them, dubnium and dubnium-memory; what was logged is in the journal"
}

# The running system is told about changes only where there is one.
dubnium_live() { [ -d /run/systemd/system ]; }

# dubnium_arrived: the files are there. The accounts and folders are made, and nothing is started.
dubnium_arrived() {
	systemd-sysusers dubnium.conf
	if dubnium_live; then
		systemd-tmpfiles --create dubnium.conf
		systemctl daemon-reload
	fi
}

# dubnium_next says what is for the operator to do.
dubnium_next() {
	echo "nothing was started; next: edit $dubnium_config, then: systemctl enable --now $dubnium_boot; mode status"
}

# dubnium_leaves UNIT... comes before the files of these units go. It stops what would be left
# without its program, and fails where the machine would be left without a way back to its desktop.
dubnium_leaves() {
	dubnium_live || return 0
	if systemctl is-active --quiet compute.target; then
		echo "the machine is in compute mode, and only Dubnium brings the desktop back: run mode request desktop first" >&2
		return 1
	fi
	systemctl stop 'room@*.service' # those that run
	# Sockets and timers first, or they would bring a service back.
	for kind in socket timer service; do
		for unit; do
			case $unit in
			*@* | mode-boot.service) ;; # mode-boot keeps nothing running, and goes with the desktop's target
			*."$kind") ! systemctl is-active --quiet "$unit" || systemctl stop "$unit" ;;
			esac
		done
	done
	systemctl clean --what=cache vllm.service plano.service 2>/dev/null || true  # never started, or masked
	systemctl clean --what=state dubnium-memory-expire.timer 2>/dev/null || true # when it was last due
}

# dubnium_left comes after the files have gone: what is neither a log nor data goes with them.
dubnium_left() {
	if dubnium_live; then
		# Stopping these changes nothing: without them the session and its display manager stay.
		systemctl stop desktop.target mode-boot.service 2>/dev/null || true # gone with their files
		systemctl daemon-reload
	fi
	rm -rf /run/mode-controller
	rm -f /var/lib/prometheus/node-exporter/dubnium.prom
}
