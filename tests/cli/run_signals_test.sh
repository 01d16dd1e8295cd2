#!/bin/bash
# snag and signals: passed on, a second SIGINT kills, and nothing stays behind, whatever ends it.
. "${0%/*}/harness.sh"

TINY=$(program tiny)
RULE=accept:error=EMFILE:when=1..3

# Starts snag with a server and waits until that is ready.  A shell's background jobs ignore SIGINT unless told.
session() {
    start env --default-signal=INT,HUP,QUIT,TERM "$SNAG" run -v -e $RULE "$@"
    wait_for 20 grep -q 'snag: ready' "$pid.err"
}

nothing_in_shm() {
    [ -z "$(find /dev/shm -maxdepth 1 -name "snag.$1.*")" ] || fail 'the board is still in /dev/shm'
}

test_signals_are_passed_on() {
    local signal
    for signal in INT TERM HUP; do
        session -- "$TINY" 0
        stop "$pid" $signal
        expect_status $((128 + $(kill -l $signal)))
        nothing_in_shm "$pid"
    done
}

test_daemon_gets_the_signal_too() {
    session -- "$TINY" daemon 0
    stop "$pid" INT
    expect_status 130
    nothing_in_shm "$pid"
}

test_server_that_takes_the_signal_ends_as_it_likes() {
    session -- redis-server --port "$(free_port)" --bind 127.0.0.1 --save ''
    stop "$pid" TERM
    expect_status 0
}

# As sshd's child of a connection: a session of its own, and of no parent any more.
# orphan STATUS WHEN: it is there while the first process waits, and ends WHEN ("TERM", or "now") with STATUS.
orphan() {
    rm -f child
    cat >first <<FIRST
trap 'exit 0' TERM
(setsid sh -c 'trap "exit $1" TERM; echo \$\$ >child.new; mv child.new child; [ $2 = TERM ] || exit $1; while :; do sleep 0.02; done' &)
until [ -e child ]; do sleep 0.02; done
[ $2 = TERM ] || while [ -e "/proc/\$(cat child)" ]; do sleep 0.02; done
echo up
while :; do sleep 0.02; done
FIRST
    start env --default-signal=INT,HUP,QUIT,TERM "$SNAG" run -- sh first
    wait_for 20 grep -q up "$pid.out"
    stop "$pid" TERM
}

test_first_process_answers_for_what_ends_after_it_was_told_to() {
    orphan 7 TERM
    expect_status 0
    orphan 7 now
    expect_status 7
}

test_second_sigint_kills() {
    start env --default-signal=INT "$SNAG" run -v -- sh -c 'trap "echo once" INT; echo armed; while :; do sleep 0.02; done'
    wait_for 20 grep -q armed "$pid.out"
    kill -INT "$pid"
    wait_for 20 grep -q once "$pid.out"
    kill -INT "$pid"
    wait_for 20 ended "$pid"
    status=0
    wait "$pid" || status=$?
    expect_status 137
    nothing_in_shm "$pid"
}

test_client_is_ended_too() {
    session --client 'echo up; sleep 50 & sleep 50' -- "$TINY" 0
    wait_for 20 grep -q up "$pid.out"
    stop "$pid" TERM
    expect_status 143
    expect_lacks "$pid.err" verdict
    nothing_in_shm "$pid"
}

# The client goes at once, and the server keeps its time to stop: it is not waited for without end.
test_server_that_ignores_it_is_killed_in_time() {
    session --stop-timeout 200ms --client 'echo up; sleep 50' -- "$TINY" ignores 0
    wait_for 20 grep -q up "$pid.out"
    kill -TERM "$pid"
    wait_for 20 ended "$pid"
    stop "$pid" TERM
    expect_status 143
    nothing_in_shm "$pid"
}

# Nothing is left then but the client.
test_client_that_has_outlived_its_server_is_ended_too() {
    # shellcheck disable=SC2016 # the client expands them
    session --client 'bash -c ": <>/dev/tcp/$SNAG_HOST/$SNAG_PORT"; echo up; exec sleep 50' -- "$TINY" quits 0
    wait_for 20 grep -q up "$pid.out"
    wait_for 20 sh -c "! pgrep -x -P $pid tiny"
    kill -TERM "$pid"
    wait_for 20 ended "$pid"
    stop "$pid" TERM
    expect_status 143
    nothing_in_shm "$pid"
}

test_signal_before_ready() {
    start env --default-signal=INT "$SNAG" run -v --connect -- sh -c 'echo up; sleep 50'
    wait_for 20 grep -q up "$pid.out"
    stop "$pid" INT
    expect_status 130
    nothing_in_shm "$pid"
}

# Killed for good: the server goes with it; a daemon stays, and the next run cleans up after it.
test_killed_snag_leaves_nothing_for_long() {
    local server
    session -- "$TINY" 0
    server=$(sed -n 's/^snag: started .* as process \([0-9]*\)$/\1/p' "$pid.err")
    stop "$pid" KILL
    wait_for 20 ended "$server"

    session -o t.jsonl -- "$TINY" daemon 0
    stop "$pid" KILL
    run "$SNAG" run -- true
    expect_status 0
    nothing_in_shm "$pid"
    # Left behind: the harness looks for processes of this test.
}

test_sessions_leave_each_other_alone() {
    local first
    session -- "$TINY" daemon 0
    first=$pid
    run "$SNAG" run -- true
    expect_status 0
    runs "$first" || fail 'the other session has ended'
    [ -n "$(find /dev/shm -maxdepth 1 -name "snag.$first.*")" ] || fail 'the other session has lost its board'
    stop "$first" TERM
    expect_status 143
}

tests_main "$@"
