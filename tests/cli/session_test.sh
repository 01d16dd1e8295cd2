#!/bin/bash
# snag session: a server that snag does not start joins by its environment; faults end with the session, the server does not.
. "${0%/*}/harness.sh"

TINY=$(program tiny)
called=session-test-$$

# Starts a session, and waits for its environment, which is in $env then: one NAME=VALUE a line.
session() {
    start env --default-signal=INT,HUP,QUIT,TERM "$SNAG" session start --name "$called" "$@"
    wait_for 20 grep -q SNAG_BOARD= "$pid.out"
    env=$(grep -v '^#' "$pid.out")
    session=$pid
}
env="" session="" server="" port=""

# Starts tiny with the environment of "$@" alone; it is process $server, on $port.
join() {
    port=$(free_port)
    start env -i "$@" "$TINY" "$port"
    server=$pid
    wait_for 20 ask
}

ask() {
    curl -s -o page --max-time 10 "http://127.0.0.1:$port/"
}

count_of() {
    "$SNAG" ctl "$called" stats --json | jq ".rules[] | select(.rule == $1) | .$2"
}

nothing_left() {
    [ -z "$(find /dev/shm -maxdepth 1 -name "snag.$session.*")" ] || fail 'something is still in /dev/shm'
}

test_a_server_joins_by_its_environment() {
    session -e accept:error=EMFILE:when=1..2 -o trace.jsonl --summary summary.json
    # shellcheck disable=SC2086
    join $env
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 2
    run "$SNAG" ctl "$called" stats
    expect_has $out "attached: 1 program, living now: tiny ($server)"
    run "$SNAG" ctl "$called" add accept:error=ENFILE:when=1
    expect_status 0
    ask
    expect_equal 'what rule 2 injected' "$(count_of 2 injected)" 1
    run "$SNAG" ctl "$called" add accept:error=ENFILE
    expect_status 0
    run "$SNAG" session stop "$called"
    expect_status 0
    stop "$session"
    expect_status 0
    ask # the faults are over, the server is not
    expect_lines "$session.err" <<<"snag: ready: 127.0.0.1:$port, pid $server, after * ms
snag: rule 1, accept:error=EMFILE:when=1..2: matched *, injected 2, at take_client
snag: rule 2, accept:error=ENFILE:when=1: matched *, injected 1, at take_client
snag: rule 3, accept:error=ENFILE: never matched
snag: 1 program attached"
    expect_json summary.json '.injected == 3 and .verdict == null'
    expect_equal 'type of the last line' "$(tail -n 1 trace.jsonl | jq -r .type)" summary
    nothing_left
    stop "$server"
}

test_signals_end_a_session() {
    local signal
    for signal in INT TERM HUP; do
        session -e accept:error=EMFILE
        stop "$session" $signal
        expect_status 0
        expect_has "$session.err" 'rule 1, accept:error=EMFILE: never matched'
        expect_has "$session.err" '0 programs attached'
        nothing_left
    done
}

test_several_servers_join() {
    local first
    session -e accept:error=EMFILE:per=process:when=1
    # shellcheck disable=SC2086
    join $env
    first=$server
    # shellcheck disable=SC2086
    join $env
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 2
    stop "$first"
    wait_for 20 sees_one
    stop "$session" INT
    expect_has "$session.err" '2 programs attached'
    stop "$server"
}

sees_one() {
    "$SNAG" ctl "$called" stats --json | jq -e ".processes | map(.pid) == [$server]"
}

# As a shell, systemd and docker read them.
test_each_format_can_be_used() {
    session --format shell -e accept:error=EMFILE:when=1
    (eval "$env" && printenv LD_PRELOAD SNAG_BOARD) >got
    expect_lines got <<<"$SHIM
/dev/shm/snag.$session.*"
    stop "$session" INT
    session --format systemd -e accept:error=EMFILE:when=1
    expect_equal 'section' "$(head -n 1 <<<"$env")" '[Service]'
    # shellcheck disable=SC2046
    join $(sed -n 's/^Environment=//p' <<<"$env")
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    [ -d "$(sed -n 's/^BindPaths=//p' <<<"$env")" ] || fail 'BindPaths= names no folder'
    stop "$server"
    stop "$session" INT
    session --format docker -e accept:error=EMFILE:when=1
    # shellcheck disable=SC2046
    join $(sed -n 's/^ENV //p' <<<"$env")
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    stop "$server"
    stop "$session" INT
    start "$SNAG" session start --format pod --name "$called"
    session=$pid
    wait_for 20 grep -q 'type: Directory' "$pid.out"
    expect_has "$pid.out" "    - {name: LD_PRELOAD, value: \"$SHIM\"}"
    stop "$session" INT
}

# What is not snag's is not snag's to end, even when nobody was left to take the session down.
test_a_killed_session_leaves_its_servers_alone() {
    session -e accept:error=EMFILE:when=2+
    # shellcheck disable=SC2086
    join $env
    stop "$session" KILL
    ask
    run "$SNAG" ctl
    expect_status 0
    nothing_left # another session may have been quicker to take it away
    ask
    runs "$server" || fail 'the server was killed'
    stop "$server"
}

# A process that joins a session that is over is told nothing, and gets no faults.
test_a_session_that_is_over_is_no_trouble() {
    session -e accept:error=EMFILE
    stop "$session" INT
    # shellcheck disable=SC2086
    join $env
    stop "$server"
    expect_empty "$server.err"
}

test_a_rule_that_never_fired_fails_under_strict() {
    session --strict -e accept:error=EMFILE
    stop "$session" INT
    expect_status 125
}

test_bad_input() {
    run "$SNAG" session start --client true
    expect_status 125
    expect_has $err '--client: not an option of snag session start'
    run "$SNAG" session start -- "$TINY"
    expect_status 125
    expect_has $err 'takes no server'
    run "$SNAG" session start --format yaml
    expect_status 125
    expect_has $err 'expected env, shell, systemd, docker or pod'
    run "$SNAG" session start -e accept:error=EMFIL
    expect_status 125
    expect_empty $out
    run "$SNAG" session
    expect_status 125
    run "$SNAG" session stop no-such-session
    expect_status 125
    expect_has $err 'no session no-such-session'
    run "$SNAG" run --format env -- true
    expect_status 125
    run "$SNAG" session --help
    expect_status 0
    expect_has $out 'snag session start'
}

test_a_run_is_not_stopped_so() {
    start "$SNAG" run -v --name "$called" -- "$TINY" 0
    session=$pid
    wait_for 20 grep -q 'snag: ready' "$session.err"
    run "$SNAG" session stop "$called"
    expect_status 125
    expect_has $err 'has a server of its own'
    stop "$session"
}

tests_main "$@"
