# shellcheck shell=bash
# Shared by the build scripts beside it: the cache, the lock, host packages, the Debian mirror.
# Whoever sources this sets kind, the file that marks a finished result, and dir, the result's folder.
# shellcheck disable=SC2034 # used there
kind='' dir='' suite=trixie
# shellcheck disable=SC2034
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${DUBNIUM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dubnium}/machine

say() { printf '%s: [%3d s] %s\n' "${0##*/}" "$SECONDS" "$*" >&2; }
die() { say "$*" && exit 1; }

# result FILE... names the folder for this version of the scripts: a changed script is a new result.
result() {
	local sum
	sum=$(cat "$@" | sha256sum)
	printf '%s/%s\n' "$cache" "${sum:0:16}"
}

# host_packages COMMAND:PACKAGE... installs the packages whose command is missing.
host_packages() {
	local pair missing=()
	for pair in "$@"; do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
	done
	((${#missing[@]})) || return 0
	say "install ${missing[*]} on this host"
	local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
	export DEBIAN_FRONTEND=noninteractive
	"${apt[@]}" update >&2
	"${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2
}

# debian_mirror prints the mirror from which this host itself is installed.
debian_mirror() {
	local uri
	# shellcheck disable=SC2016 # apt expands it
	uri=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 -E '/debian/?$') ||
		die "no Debian repository in this host's apt sources: add one (deb or deb822), the machine is built from it"
	printf '%s\n' "$uri"
}

# start_build takes the lock, ends here when another build has just finished, and makes $work.
start_build() {
	((EUID == 0)) || die "building the test machine needs root: run it as root, or with sudo"
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock -n 9 || {
		say "wait for the other build (lock $cache/lock)"
		flock 9
	}
	[[ -e $dir/$kind ]] && echo "$dir" && exit 0
	rm -rf --one-file-system "$cache"/.build.* # of a build that was killed
	work=$(mktemp -d "$cache/.build.XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
}

# finish_build moves $work to its place and drops older results of the same kind.
# The newest of them stays, for a second checkout; one that a machine runs from stays too.
finish_build() {
	: >"$work/in-use"
	chmod 755 "$work"
	rm -rf --one-file-system "$dir"
	mv "$work" "$dir"
	local old skip=1
	while read -r old; do
		if [[ $old == "$dir" ]]; then continue; fi
		if ((skip-- > 0)); then continue; fi
		flock -n "$old/in-use" rm -rf --one-file-system "$old" && say "removed the old ${old##*/}"
	done < <(for old in "$cache"/*/"$kind"; do dirname "$old"; done | xargs -r ls -td)
	say "ready: $dir"
	echo "$dir"
}
