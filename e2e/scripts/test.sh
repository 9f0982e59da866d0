#!/usr/bin/env bash
# `make test`: all tiers of tests, one summary. TIERS names some of them (code e2e faults), STORY a part of
# the names of end-to-end tests.
#
# Everything is built as one workspace: with fewer packages at once, cargo would build the common
# dependencies again, with fewer features.
set -uo pipefail
cd "$(dirname "$0")/../.."
. e2e/scripts/kubernetes.sh

tiers=${TIERS:-code e2e faults}
# Stories side by side: most of their time is waiting for pods.
threads=${KEYSLOT_E2E_THREADS:-3}
# Errors of the stories say where they come from; traces would only push them out of sight.
export RUST_BACKTRACE=${RUST_BACKTRACE:-0} RUST_LIB_BACKTRACE=${RUST_LIB_BACKTRACE:-0}

folder=$(mktemp -d)
started_kubernetes=no background=
passed=0 failed=0 rows=()

clean_up() {
    [ -z "$background" ] || wait "$background"
    if [ $started_kubernetes = yes ]; then
        echo "taking the local Kubernetes down"
        local_kubernetes down
    fi
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

wants() {
    [[ " $tiers " == *" $1 "* ]]
}

# Adds up what cargo's test binaries report. One that ended without a report counts as one failure.
tier() {
    local name=$1 log=$folder/log begin=$SECONDS status counts
    shift
    printf '\n==== %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    counts=$(awk '/^test result: / { passed += $4; failed += $6 } END { print passed + 0, failed + 0 }' "$log")
    local good=${counts% *} bad=${counts#* }
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
    fi
    passed=$((passed + good)) failed=$((failed + bad))
    rows+=("$(printf '%-36s %5d passed %3d failed %5d s' "$name" "$good" "$bad" $((SECONDS - begin)))")
    rows+=("$(kinds "$log")")
    failures "$log" >>"$folder/failures"
    grep '^skipped: ' "$log" >>"$folder/skipped"
    grep '^measured: ' "$log" >>"$folder/measured"
}

# Which tests failed, and the last words of each.
failures() {
    awk 'because && /^    / { print "        " $0; next }
        { because = /^Caused by:/ }
        /^test .* \.\.\. FAILED$/ { print "    " $2 }
        /^---- .* stdout ----$/ { name = $2 }
        /^Error: / { print "    " name ": " $0 }
        /^FAILED  / { print "    " $0 }
        /panicked at / { print "    " name ": " $0; getline; print "        " $0 }' "$1"
}

kinds() {
    awk '/^ *Running unittests / { kind = "units" }
        /^ *Running tests\// { kind = $2 }
        /^ *Doc-tests / { kind = "examples in the documentation" }
        /^test result: / { passed[kind] += $4; failed[kind] += $6 }
        END { for (kind in passed) if (passed[kind] + failed[kind] > 0)
            printf "    %-32s %5d passed %3d failed\n", kind, passed[kind], failed[kind] }' "$1" | sort
}

cargo_test() {
    cargo test --workspace --no-fail-fast "$@"
}

# Waits for what was begun in the background; its words are shown when it is done.
kubernetes_is_there() {
    local status=0
    wait "$background" || status=$?
    background=
    cat "$folder/kubernetes"
    return $status
}

end_to_end() {
    # The second judges the run of the first, so it has a meaning only after all of it.
    local binaries=(--test stories)
    [ -n "${STORY:-}" ] || binaries+=(--test used_rights)
    cargo_test "${binaries[@]}" -- --test-threads "$threads" ${STORY:+"$STORY"}
}

if wants code || wants faults; then
    # Some tests start servers from the folders that the images are made of.
    # shellcheck disable=SC2086  # a list
    local_kubernetes images $servers || exit 1
fi
if wants e2e; then
    if is_local && ! is_up; then
        started_kubernetes=yes
    fi
    # It takes minutes on a machine that has built nothing yet; the other tier uses them.
    # shellcheck disable=SC2086  # a list
    start_kubernetes $programs $servers >"$folder/kubernetes" 2>&1 &
    background=$!
fi
if wants code; then
    tier "units, properties and real servers" cargo_test
fi
if wants e2e; then
    if kubernetes_is_there; then
        tier "end to end, on Kubernetes" end_to_end
    else
        tier "end to end, on Kubernetes" false
    fi
fi
if wants faults; then
    tier "faults at every request, a sample" cargo run --quiet --bin keyslot-faults -- sample --minutes 2
    tier "wrong values, a sample" cargo run --quiet --bin keyslot-faults -- bad-resources --minutes 1
fi

printf '\n==== summary\n'
printf '%s\n' "${rows[@]}"
printf '%-36s %5d s\n\n' "in all" "$SECONDS"
for told in measured skipped; do
    if [ -s "$folder/$told" ]; then
        printf '%s\n\n' "$(cat "$folder/$told")"
    fi
done
if [ -s "$folder/failures" ]; then
    printf '==== failed\n%s\n\n' "$(cat "$folder/failures")"
fi
clean_up
trap - EXIT
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
