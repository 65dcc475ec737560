#!/bin/sh
# Runs every fuzz target of the module, or of one folder, for the time given, as many at once as there are cores:
# tools/fuzz.sh 60s [./sip [own]]
# With own the fuzzer is led by what it reaches in the module's packages and not by what it reaches in those that they use: as they
# are compiled for everything else, they are not compiled again, which takes longer than a short run.
set -eu

# build compiles the targets of a package: go test -fuzz would link them again for each.
if [ "${1:-}" = build ]; then
	to="$2" depth="$3" dir="$4"
	if [ "$depth" = own ]; then
		led="-gcflags=$(go list -m)/...=-d=libfuzzer" # what -fuzz has every package compiled with
	else
		led="-fuzz=."
	fi
	if ! out="$(go test -c "$led" -o "$to/$dir/fuzz.test" "$dir" </dev/null 2>&1)"; then
		printf 'fuzz: %s FAILED\n%s\n' "$dir" "$out"
		exit 255 # ends xargs
	fi
	exit 0
fi

# one runs a target. The fuzzer of Go now and then takes its own deadline for a failure of the target ("context deadline
# exceeded", with no input written); such a run found nothing and is made again.
if [ "${1:-}" = one ]; then
	time="$2" from="$3" corpus="$4" dir="$5" name="$6"
	cd "$dir" # inputs that fail are written under testdata
	for try in 1 2 3; do
		if out="$("$from/$dir/fuzz.test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$time" -test.fuzzminimizetime 2s \
			-test.fuzzcachedir "$corpus/${dir#./}" -test.parallel 1 -test.paniconexit0 </dev/null 2>&1)"; then
			case "$out" in
			*"without coverage guidance"*) break ;;
			esac
			echo "fuzz: $dir $name"
			exit 0
		fi
		case "$out" in
		*"Failing input"* | *"seed corpus entry"* | *panic*) break ;;
		*"context deadline exceeded"*) echo "fuzz: $dir $name hit its own deadline, try $try" ;;
		*) break ;;
		esac
	done
	printf 'fuzz: %s %s FAILED\n%s\n' "$dir" "$name" "$out"
	exit 255 # ends xargs
fi

time="${1:?usage: tools/fuzz.sh DURATION [FOLDER [own]]}"
folder="${2:-.}"
depth="${3:-all}"

targets="$(grep -rnEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' "$folder" |
	grep -vE '^\./(interop|bench)/|/testdata/' | sed -E 's,^(.*)/[^/]*\.go:[0-9]+:func (.*)$,\1 \2,' | sort)"
if [ -z "$targets" ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
binaries="$(mktemp -d)"
trap 'rm -rf "$binaries"' EXIT
trap 'exit 1' INT TERM
# Where go test -fuzz keeps the inputs that led to something new.
corpus="$(go env GOCACHE)/fuzz/$(go list -m)"
# One binary first: it brings most of what the others share, which they would compile at the same time.
packages="$(printf '%s\n' "$targets" | cut -d ' ' -f 1 | uniq)"
if ! printf '%s\n' "$packages" | head -n 1 | xargs "$0" build "$binaries" "$depth" ||
	! printf '%s\n' "$packages" | tail -n +2 | xargs -r -P "$(nproc)" -L 1 "$0" build "$binaries" "$depth"; then
	exit 1
fi
# One worker each: two targets side by side find more than one target with two workers that wait for each other.
if ! printf '%s\n' "$targets" | xargs -P "$(nproc)" -L 1 "$0" one "$time" "$binaries" "$corpus"; then
	echo "fuzz: a target failed (the input is under testdata/fuzz; commit it with the repair)" >&2
	exit 1
fi
echo "fuzz: $(printf '%s\n' "$targets" | wc -l) targets, $time each, no failure"
