#!/bin/bash
# snag squeeze: a running server loses its free descriptors and gets them back, whatever happens to snag.
# shellcheck source=tests/cli/harness.sh
. "${0%/*}/harness.sh"

server_pid=""
serve() {
    port=$(free_port)
    start "$(program wrong)" "$1" "$port"
    server_pid=$pid
    wait_for 10 listens
}

listens() {
    grep -q "$(printf ': 0100007F:%04X 00000000:0000 0A' "$port")" /proc/net/tcp
}

limit() {
    awk '/^Max open files/ { print $4 }' "/proc/$server_pid/limits"
}

squeeze() {
    run "$SNAG" squeeze --for 700ms --patience 2s --send 'hi\n' --expect hi "$@" "$server_pid"
}

test_served() {
    serve right
    local before
    before=$(limit)
    squeeze
    expect_status 0
    expect_equal 'the last line' "$(tail -n 1 $out)" 'verdict: served'
    expect_match $err "process $server_pid \(wrong\): its soft limit of open files goes from $before to [0-9]+ for"
    expect_equal 'the limit' "$(limit)" "$before"
    stop "$server_pid"
}

test_deaf() {
    serve deaf
    squeeze --listen "127.0.0.1:$port"
    expect_status 1
    expect_equal 'the last line' "$(tail -n 1 $out)" 'verdict: deaf'
    stop "$server_pid"
}

test_shed() {
    serve shed
    squeeze
    expect_status 0
    expect_equal 'the last line' "$(tail -n 1 $out)" 'verdict: shed'
    stop "$server_pid"
}

# One client after the other: the second one waits, and not for want of descriptors.
test_waiting_is_no_shortage() {
    serve blocks
    run "$SNAG" squeeze "$server_pid" --for=500ms --patience 2s
    expect_status 125
    expect_equal 'the last line' "$(tail -n 1 $out)" 'verdict: untested'
    stop "$server_pid"
}

# A child that is started meanwhile inherits the low limit.
test_new_children() {
    port=$(free_port)
    cat >parent <<'PARENT'
"$1" right "$2" &
until [ -e go ]; do read -rt 0.05 <>fifo; done
sleep 60 &
echo $! >child.new && mv child.new child
wait
PARENT
    mkfifo fifo
    start bash parent "$(program wrong)" "$port"
    local parent=$pid before child
    server_pid=$parent
    wait_for 10 listens
    before=$(limit)
    start "$SNAG" squeeze "$parent" --for 2s
    local squeezing=$pid
    wait_for 40 is_lower
    touch go
    wait_for 10 test -e child
    child=$(cat child)
    wait_for 40 is_back
    server_pid=$child
    wait_for 10 is_back
    wait "$squeezing"
    kill "$child" "$(pgrep -P "$parent" wrong)"
    wait "$parent" || true
}

is_lower() {
    [ "$(limit)" -lt "$before" ]
}

is_back() {
    [ "$(limit)" = "$before" ]
}

test_killed() {
    serve right
    before=$(limit)
    start "$SNAG" squeeze --for 10s "$server_pid"
    wait_for 40 is_lower
    stop "$pid" KILL
    wait_for 10 is_back
    stop "$server_pid"
}

test_interrupted() {
    serve right
    before=$(limit)
    start "$SNAG" squeeze --for 10s "$server_pid"
    wait_for 40 is_lower
    stop "$pid" INT
    expect_status 125
    is_back || fail "the limit is $(limit)"
    stop "$server_pid"
}

test_bad_input() {
    run "$SNAG" squeeze
    expect_status 125
    expect_has err 'no process given'
    run "$SNAG" squeeze one
    expect_has err 'one: expected the number of a process'
    run "$SNAG" squeeze --plan x 1
    expect_has err 'unknown option --plan'
    run "$SNAG" squeeze $$
    expect_status 125
    expect_has err 'listens nowhere'
    start sleep 60
    run "$SNAG" squeeze --listen 127.0.0.1:0 "$pid"
    expect_status 125
    stop "$pid"
    run "$SNAG" squeeze "$pid"
    expect_status 125
    expect_has err "there is no process $pid"
}

tests_main "$@"
