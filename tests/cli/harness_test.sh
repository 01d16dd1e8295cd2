#!/bin/bash
# The harness of the shell tests, and tests/run, tested by tests that must fail.
. "${0%/*}/harness.sh"

sample() {
    TEST_SECONDS=${TEST_SECONDS_SAMPLE:-20} run "$tests_root/tests/cli/harness_sample.sh" "$@"
}

# The sample's test $1 must fail, and its report must have the line $2 and the command to run it again.
sample_fails() {
    sample "$1"
    expect_status 1
    expect_has out "$2"
    expect_match out "again: .*harness_sample.sh $1\$"
    expect_equal 'last line' "$(tail -n 1 out)" '0 passed, 1 failed'
}

test_passing_test_passes() {
    sample test_passes
    expect_status 0
    expect_lines out <<'EOT'
ok   test_passes (* ms)
1 passed, 0 failed
EOT
}

test_failures_are_reported() {
    sample_fails test_wrong_status 'exit status 1, not 0'
    sample_fails test_wrong_lines 'out (>) is not what is wanted (<)'
    sample_fails test_wrong_json 'not true: .a == 2'
    sample_fails test_command_fails 'FAIL test_command_fails'
    expect_lacks out 'not reached'
    sample_fails test_sanitizer_reports "a sanitizer's report from: sh"
    sample_fails test_not_so_in_time 'not so after 0.1 s: false'
}

test_hang_is_ended() {
    TEST_SECONDS_SAMPLE=1
    sample_fails test_hangs 'FAIL test_hangs: not done after 1 s'
}

test_left_process_is_reported_and_ended() {
    sample_fails test_leaves_process 'FAIL test_leaves_process: left a process behind'
    local left
    left=$(sed -n 's/.*left behind: \([0-9]*\) .*/\1/p' out | head -n 1)
    wait_for 5 ended "$left"
}

test_started_processes_are_ended() {
    sample 'test_start*'
    expect_status 0
    expect_match out '^2 passed, 0 failed$'
}

test_no_such_test_fails() {
    sample test_of_no_such_name
    expect_status 1
}

test_runner_sums_up() {
    printf '#!/bin/sh\necho "ok   a"; echo "2 passed, 0 failed"\n' >good
    printf '#!/bin/sh\necho "FAIL b"; echo "1 passed, 3 failed"; exit 1\n' >bad
    printf '#!/bin/sh\necho "ok   c"; exit 0\n' >middle
    printf '#!/bin/sh\necho "5 passed, 0 failed"; exit 9\n' >liar
    chmod +x good bad middle liar
    run "$tests_root/tests/run" "$PWD/good" "$PWD/good"
    expect_status 0
    expect_equal 'last line' "$(tail -n 1 out)" '4 passed, 0 failed'
    run "$tests_root/tests/run" "$PWD/good" "$PWD/bad" "$PWD/middle" "$PWD/liar"
    expect_status 1
    expect_has out "FAIL $PWD/bad"
    expect_has out "FAIL $PWD/middle: ended in the middle"
    expect_has out "FAIL $PWD/liar: exit status 9"
    expect_equal 'last line' "$(tail -n 1 out)" '8 passed, 5 failed'
    printf "#!/bin/sh\necho begins; sleep 100\n" >slow
    chmod +x slow
    PROGRAM_SECONDS=1 run "$tests_root/tests/run" "$PWD/slow"
    expect_status 1
    expect_has out 'not done after 1 s'
}

test_runner_fails_when_nothing_ran() {
    run "$tests_root/tests/run"
    expect_status 1
}

test_ports_are_free_and_differ() {
    local one two
    one=$(free_port) two=$(free_port)
    expect_match <(echo "$one") '^[0-9]{4,5}$'
    [ "$one" != "$two" ] || fail "the same port twice"
}

tests_main "$@"
