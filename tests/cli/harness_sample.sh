#!/bin/bash
# Tests that must fail, and some that must pass: what harness_test.sh runs.  No part of `make check` by itself.
. "${0%/*}/harness.sh"

test_passes() {
    run sh -c 'echo one; echo two; echo 1.2 ms; echo words >&2; exit 3'
    expect_status 3
    expect_lines out <<'EOT'
one
...
?.? ms
EOT
    expect_has err words
    expect_lacks err one
    expect_match err '^w.*s$'
    echo '{"a":[1,2]}' >file.json
    expect_json file.json '.a[1] == 2'
}

test_wrong_status() {
    run false
    expect_status 0
}

test_wrong_lines() {
    run printf 'one\ntwo\n'
    expect_lines out <<<'one'
}

test_wrong_json() {
    echo '{"a":1}' >file.json
    expect_json file.json '.a == 2'
}

test_command_fails() {
    false
    echo not reached
}

test_sanitizer_reports() {
    run sh -c 'echo "==1==ERROR: AddressSanitizer: heap-use-after-free" >&2'
    expect_status 0
}

test_hangs() {
    run sleep 100
}

test_not_so_in_time() {
    wait_for 0.1 false
}

test_leaves_process() {
    setsid sh -c 'echo up >up; sleep 100' &
    wait_for 5 test -s up
}

test_starts_and_stops() {
    start sh -c 'trap "exit 7" TERM; echo up; while :; do sleep 0.01; done'
    wait_for 5 grep -q up "$pid.out"
    stop "$pid"
    expect_status 7
}

test_started_is_ended() {
    start sleep 100
    wait_for 5 runs "$pid"
}

tests_main "$@"
