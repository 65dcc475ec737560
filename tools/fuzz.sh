#!/bin/sh
# Runs every fuzz target of the module, or of one folder, for the time given, as many at once as there are cores:
# tools/fuzz.sh 60s [./sip]
set -eu

# one runs a target. The fuzzer of Go now and then takes its own deadline for a failure of the target ("context deadline
# exceeded", with no input written); such a run found nothing and is made again.
if [ "${1:-}" = one ]; then
	time="$2" dir="$3" name="$4"
	for try in 1 2 3; do
		if out="$(go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 2s -parallel 1 "$dir" </dev/null 2>&1)"; then
			echo "fuzz: $dir $name"
			exit 0
		fi
		case "$out" in
		*"Failing input"* | *"seed corpus entry"* | *panic* | *"build failed"*) break ;;
		*"context deadline exceeded"*) echo "fuzz: $dir $name hit its own deadline, try $try" ;;
		*) break ;;
		esac
	done
	printf 'fuzz: %s %s FAILED\n%s\n' "$dir" "$name" "$out"
	exit 255 # ends xargs
fi

time="${1:?usage: tools/fuzz.sh DURATION [FOLDER]}"
folder="${2:-.}"

targets="$(grep -rnEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' "$folder" |
	grep -vE '^\./(interop|bench)/|/testdata/' | sed -E 's,^(.*)/[^/]*\.go:[0-9]+:func (.*)$,\1 \2,' | sort)"
if [ -z "$targets" ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
# One worker each: two targets side by side find more than one target with two workers that wait for each other.
if ! printf '%s\n' "$targets" | xargs -P "$(nproc)" -L 1 "$0" one "$time"; then
	echo "fuzz: a target failed (the input is under testdata/fuzz; commit it with the repair)" >&2
	exit 1
fi
echo "fuzz: $(printf '%s\n' "$targets" | wc -l) targets, $time each, no failure"
