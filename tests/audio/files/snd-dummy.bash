# ALSA without a card, past all audio servers: needs the modules snd-dummy, aplay and arecord, and
# check_audio_idle. It ends with 0 when the guard saw everything, and says what it did not see.
# It leaves a card "Dummy" behind.
set -u
check() { # check CODE REASON PART-OF-MESSAGE LABEL
	local out code
	out=$(check_audio_idle) && code=0 || code=$?
	if [[ $code == "$1" && $out == *'"reason":"'"$2"'"'* && $out == *"$3"* ]]; then
		printf 'ok: %s\n' "$4"
	else
		printf 'FAILED: %s: wanted %s %s with "%s", got %s %s\n' "$4" "$1" "$2" "$3" "$code" "$out"
		failed=1
	fi
}
state() { # state SUBSTREAM STATE waits until the substream of the card is in that state
	local try
	for ((try = 0; try < 100; try++)); do
		grep -qE "^(state: )?$2\$" "/proc/asound/Dummy/$1/sub0/status" && return
		sleep 0.1
	done
	printf 'FAILED: %s never was %s: %s\n' "$1" "$2" "$(cat "/proc/asound/Dummy/$1/sub0/status")"
	failed=1
}
finish() {
	kill "$1"
	wait "$1" 2>/dev/null
}
failed=0
modprobe snd-dummy pcm_substreams=1
[[ -e /proc/asound/Dummy ]] || { echo "FAILED: no card: $(cat /proc/asound/cards)" && exit 1; }
check 0 idle 'on 1 cards' 'nothing is open'

aplay -q -D hw:Dummy -f cd /dev/zero &
state pcm0p RUNNING
check 10 pcm-running "is playing, opened by aplay (pid $!) of root" 'aplay plays'
kill -STOP $!
state pcm0p XRUN
check 10 pcm-running "opened by aplay (pid $!)" 'aplay is stopped and could go on'
kill -CONT $!
finish $!
state pcm0p closed
check 0 idle '' 'aplay has ended'

arecord -q -D hw:Dummy -f cd /dev/null &
state pcm0c RUNNING
check 10 recording "is recording, opened by arecord (pid $!) of root" 'arecord records'
finish $!
state pcm0c closed

# A program that has the device open and waits for something to play.
mkfifo /run/silence
aplay -q -D hw:Dummy -f cd -t raw /run/silence &
exec 7>/run/silence
state pcm0p PREPARED
check 0 quiet "is open for playback and prepared, opened by aplay (pid $!) of root" 'aplay waits for its input'
exec 7>&-
wait $!
rm /run/silence
exit $failed
