#!/bin/bash
# Our own listener (build/listener-echo), with faults in its calls: each path of the accept round, reached from outside.
# The listener says itself which way it took; what the clients saw must agree.
# shellcheck source=../cli/harness.sh
. "${0%/*}/../cli/harness.sh"

# session RULE [OPTION OF listener-echo]...: 20 clients at once.  Leaves summary.json, client.json and stats.
session() {
    local rule=$1 client
    shift
    client="'$build/demo-client' -t ${CLIENT_MS:-8000} -s 'hello\n' -x 'hello\n' -o '$PWD/client.json'"
    rm -f stats client.json summary.json
    run "$SNAG" run -q -e "$rule" --summary summary.json --client "$client" -- \
        "$LISTENER_ECHO" --errorcb --stats-file "$PWD/stats" "$@"
}

# expect_stats NAME=VALUE...
expect_stats() {
    local stat
    for stat in "$@"; do
        expect_match stats "(^| )$stat( |\$)"
    done
}

# expect_session INJECTED SERVED NAME=VALUE...
expect_session() {
    expect_json summary.json ".injected == $1"
    expect_json client.json ".served == $2"
    shift 2
    expect_stats "$@"
}

# With libevent's policy three errors are silent, and the others told, once for each fault, wherever they come.
test_libevent_policy_is_silent_or_tells_at_each_position() {
    local error first
    for first in 1 2 4; do
        for error in EAGAIN EINTR; do
            session "accept4:error=$error:when=$first" --policy libevent
            expect_session 1 20 errorcb=0 warned=0 closed=0
        done
        for error in EMFILE ENFILE ENOMEM ENOBUFS EPERM; do
            session "accept4:error=$error:when=$first" --policy libevent
            expect_session 1 20 silent=0 errorcb=1 warned=0 closed=0
        done
    done
}

test_default_policy_waits_for_resources_at_each_position() {
    local error first
    for first in 1 2 4; do
        for error in EMFILE:sticky ENFILE:sticky ENOMEM ENOBUFS; do
            session "accept4:error=$error:when=$first..$((first + 1))"
            expect_session 2 20 silent=0 errorcb=2 resource=2 backoffs=2
        done
        session "accept4:error=EPERM:when=$first"
        expect_session 1 20 errorcb=1 permission=1 backoffs=1
    done
}

test_lost_clients_are_passed_over_in_silence() {
    local error
    for error in ECONNABORTED EPROTO; do
        session "accept4:error=$error:when=1..3:pending"
        expect_session 3 17 silent=3 errorcb=0 connection=3 backoffs=0
    done
}

test_zero_length_is_closed_and_the_round_goes_on() {
    local policy
    for policy in libevent backoff; do
        session accept4:socklen=0:when=2..4:pending --policy "$policy"
        expect_session 3 17 closed=3 errorcb=0 silent=0
    done
}

test_without_accept4_it_takes_accept() {
    session accept4:error=ENOSYS
    expect_session 1 20 errorcb=0 resource=0
}

# Both accept4 and the accept that follows it say EINVAL: the listener is dead, and says so once.
test_fatal_error_is_told_once_and_disables() {
    CLIENT_MS=300
    session %accept:error=EINVAL:when=1
    expect_json client.json '.served == 0'
    expect_stats errorcb=1 fatal=1 disabled=1 backoffs=0
}

# Held for the whole session: a wakeup for each pause and not a million.
test_held_emfile_does_not_spin() {
    CLIENT_MS=1000
    session accept4:error=EMFILE:sticky
    expect_json client.json '.served == 0'
    expect_json summary.json '.injected >= 5 and .injected <= 12'
}

test_start_that_fails_names_the_reason() {
    local call
    for call in socket setsockopt bind listen; do
        run "$SNAG" run -q -e "$call:error=ENOMEM:force" -- "$LISTENER_ECHO"
        expect_status 1
        expect_lines err <<<"listener-echo: can't listen: Cannot allocate memory"
    done
    run "$SNAG" run -q -e bind:error=EADDRINUSE -- "$LISTENER_ECHO"
    expect_status 1
    expect_lines err <<<"listener-echo: can't listen: Address already in use"
}

# The sweep from outside: the Nth call of the whole start and round fails, once, for N = 1, 2, 3, ... until none does.
test_every_call_fails_once_and_nobody_is_lost() {
    local n injected
    for ((n = 1; n < 60; n++)); do
        session "socket,setsockopt,bind,listen,accept,accept4:error=ENOMEM:force:when=$n"
        injected=$(jq .injected summary.json)
        [ "$injected" != 0 ] || break
        if [ -e client.json ]; then
            expect_json client.json '.served == 20'
        else
            expect_has err "can't listen: Cannot allocate memory"
        fi
    done
    [ "$n" -gt 20 ] && [ "$n" -lt 60 ] || fail "the sweep ended at call $n"
}

# A listening socket that systemd, say, has handed over.
test_inherited_socket_is_served() {
    local port
    port=$(free_port)
    start "$(program hand_over)" "$port" "$LISTENER_ECHO" --fd 3 --stats
    wait_for 10 grep -q listening "$pid.out"
    run env SNAG_HOST=127.0.0.1 SNAG_PORT="$port" "$build/demo-client" -s 'hello\n' -x 'hello\n' -t 5000 -o client.json
    expect_json client.json '.served == 20'
    stop "$pid"
    expect_status 0
    expect_match "$pid.out" 'accepted=20 .*errorcb=0'
}

tests_main "$@"
