#!/bin/bash
# `snag run --client` and --ready: what a command leaves behind is not the server's, and it can't hang on a terminal.
. "${0%/*}/harness.sh"

# Ends with 0 when it is asked to end: its status is seen to be its own.
SERVER=(redis-server --port "$(free_port)" --bind 127.0.0.1)
# In the background, in a session of its own.
leave() { echo "(setsid sh -c '$1' &)"; }

# One that crashed would have the server judged as crashed, had it come to snag as an orphan.
test_a_clients_orphan_that_crashes() {
    run "$SNAG" run --client "$(leave ': >left; kill -SEGV $$'); until [ -e left ]; do :; done; sleep 0.2" \
        --summary s -- "${SERVER[@]}"
    expect_status 0
    expect_has err 'verdict: untested: no fault'
    expect_json s '.exit == 0 and .signal == null'
}

test_a_clients_child_that_is_left() {
    run "$SNAG" run --client 'sleep 100 & echo $! >pid; exit 0' --summary s -- "${SERVER[@]}"
    expect_status 0
    expect_json s '.exit == 0 and .signal == null'
    ! runs "$(cat pid)" || fail "the client's child was left"
    run "$SNAG" run --client 'sleep 100 & echo $! >pid; exit 7' --summary s -- "${SERVER[@]}"
    expect_status 7
    expect_json s '.evidence.client_exit == 7'
    ! runs "$(cat pid)" || fail "the client's child was left"
}

# Nothing in it is for the server to end by --stop-timeout, which would be noticed, nor for the shim to reach.
test_a_clients_orphan_that_will_not_end() {
    local start=$SECONDS
    run "$SNAG" run --stop-timeout 100s \
        --client "$(leave 'trap "" TERM INT HUP; echo $$ >pid.new; mv pid.new pid; sleep 200 & wait; wait')
            until [ -e pid ]; do :; done; sleep 1.5" --summary s -- "${SERVER[@]}"
    expect_status 0
    ((SECONDS - start < 50)) || fail "it was waited for with the stop timeout"
    expect_lacks err 'not reached'
    expect_json s '.unreached == []'
    ! runs "$(cat pid)" || fail "the client's orphan was left"
}

test_an_orphan_of_the_ready_command() {
    run "$SNAG" run --ready "$(leave ': >left; kill -SEGV $$'); until [ -e left ]; do :; done; sleep 0.2" \
        --connect --summary s -- "${SERVER[@]}"
    expect_status 0
    expect_has err 'verdict: untested: no fault'
    expect_json s '.exit == 0 and .signal == null'
}

# With an orphan of its own that ignores signals: the time-out must end it all, and say that it was one.
test_a_client_that_times_out_with_an_orphan() {
    export RUN_MAY_GIVE_124=yes
    run "$SNAG" run --client-timeout 500ms --summary s \
        --client "$(leave 'trap "" TERM; echo $$ >pid; sleep 200 & wait; wait'); trap '' TERM; sleep 300; sleep 300" -- \
        "${SERVER[@]}"
    expect_status 124
    ! runs "$(cat pid)" || fail "the client's orphan was left"
    expect_json s '.exit == 0 and .signal == null'
}

test_a_client_ends_by_a_signal() {
    run "$SNAG" run --client 'kill -SEGV $$' --summary s -- "${SERVER[@]}"
    expect_status 139
    expect_json s '.evidence.client_signal == "SIGSEGV"'
}

# script(1) gives a terminal; `read` from it would stop a background group for good.
test_stdin_on_a_terminal() {
    local command="'$SNAG' run --client-timeout 20s --ready 'read x; true' --client 'cat; echo is over' -- ${SERVER[*]}"
    mkfifo keys
    exec 9<>keys
    run -i keys script -qec "$command" /dev/null
    expect_status 0
    expect_has out 'is over'
}

# Anything else is the client's to read.
test_stdin_that_is_no_terminal() {
    echo words >words
    run -i words "$SNAG" run --client cat -- "${SERVER[@]}"
    expect_status 0
    expect_has out words
}

tests_main "$@"
