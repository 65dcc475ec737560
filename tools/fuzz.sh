#!/bin/sh
# Runs every fuzz target of the module, or of one folder, for the time given, as many at once as there are cores:
# tools/fuzz.sh 60s [./sip]
set -eu
time="${1:?usage: tools/fuzz.sh DURATION [FOLDER]}"
folder="${2:-.}"

targets="$(grep -rnEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' "$folder" |
	grep -vE '^\./(interop|bench)/|/testdata/' | sed -E 's,^(.*)/[^/]*\.go:[0-9]+:func (.*)$,\1 \2,' | sort)"
if [ -z "$targets" ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
# One worker each: two targets side by side find more than one target with two workers that wait for each other.
if ! printf '%s\n' "$targets" | xargs -P "$(nproc)" -L 1 sh -c '
	out="$(go test -run "^$" -fuzz "^$3\$" -fuzztime "$1" -fuzzminimizetime 2s -parallel 1 "$2" </dev/null 2>&1)" &&
		echo "fuzz: $2 $3" || { printf "fuzz: %s %s FAILED\n%s\n" "$2" "$3" "$out"; exit 255; }' fuzz "$time"; then
	echo "fuzz: a target failed (the input is under testdata/fuzz; commit it with the repair)" >&2
	exit 1
fi
echo "fuzz: $(printf '%s\n' "$targets" | wc -l) targets, $time each, no failure"
