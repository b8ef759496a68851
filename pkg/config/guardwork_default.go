package config

import (
	"strings"
	"time"
)

func defaultLoad() GuardLoad {
	return GuardLoad{
		Slices: []string{"user.slice", "system.slice"}, SlicePressurePct: 50, HostPressurePct: 80,
		Window: Duration(250 * time.Millisecond),
	}
}

func defaultJobs() GuardJobs {
	return GuardJobs{
		Window: Duration(300 * time.Millisecond),
		CPUPct: 50,
		Programs: strings.Fields(`make ninja samu meson cmake bazel buck2 cargo rustc go gcc g++ cc1 cc1plus clang clang++ ld ld.lld ld.gold mold
			ghc javac gradle mvn msbuild docker-buildx buildctl buildah
			rsync scp restic borg duplicity tar dd ddrescue mkfs.ext4 mkfs.btrfs fsck.ext4 mksquashfs
			ffmpeg HandBrakeCLI blender`),
		PackageManagers: strings.Fields(`apt apt-get aptitude dpkg unattended-upgr dnf dnf5 yum rpm zypper pacman yay paru makepkg emerge
			apk xbps-install flatpak fwupdmgr nix nix-build nix-env nix-store nix-shell nix-daemon nixos-rebuild nixos-install home-manager
			nix-collect-gar`),
		LockFiles: []string{
			"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock",
			"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock", "/nix/var/nix/gc.lock",
		},
		Multiplexers: []string{"tmux: server", "screen", "zellij", "dtach", "abduco", "mosh-server"},
		Shells: append(strings.Fields(`sh bash dash zsh fish ksh mksh tcsh nu elvish xonsh pwsh
			login sshd sshd-session sudo su doas run0`), "tmux: client", "(sd-pam)"),
		Exempt: strings.Fields(`pipewire pipewire-pulse wireplumber pulseaudio jackd jackdbus
			systemd systemctl dbus-daemon dbus-broker dbus-broker-lau ssh-agent gpg-agent scdaemon polkit-agent-he pkttyagent
			gitstatusd gitstatusd-linu tracker-miner-f tracker-extract localsearch-3 baloo_file baloo_file_extr`),
		RemoteSessions: RemoteWorking,
		TerminalEmulators: strings.Fields(`alacritty foot footclient kitty wezterm-gui ghostty konsole gnome-terminal- ptyxis ptyxis-agent
			kgx xterm urxvt st xfce4-terminal terminator tilix rio contour login`),
	}
}
