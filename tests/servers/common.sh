# shellcheck shell=bash
# common.sh - what the tests on real servers share.  A test file sets SERVER to a name that scripts/servers.sh knows, and
# sources this.

# shellcheck source=../cli/harness.sh
. "${0%/*}/../cli/harness.sh"
# shellcheck source=../../scripts/servers.sh
. "$tests_root/scripts/servers.sh"

# Sets port, `server` (its command) and `exchange`.
prepare() {
    port=$(free_port)
    server_prepare "$SERVER" "$port" "$PWD/server"
}

# session ARGUMENT...: 20 clients ($CLIENTS) at once, while the server runs under `snag run ARGUMENT...`.  Leaves trace.jsonl,
# summary.json and client.json.
session() {
    local client
    [ -n "${port-}" ] || prepare
    client=$(printf '%q ' "$build/demo-client" "${exchange[@]}" -n "${CLIENTS:-20}" -t "${CLIENT_MS:-15000}" -o "$PWD/client.json")
    run "$SNAG" run "$@" -o trace.jsonl --summary summary.json --client "$client" -- "${server[@]}"
}

expect_injected() {
    expect_json summary.json ".injected == $1 and .lost == 0"
    # The trace tells the same story.
    expect_equal 'calls injected in the trace' "$(jq -s 'map(select(.type == "call" and .injected)) | length' trace.jsonl)" "$1"
}

expect_verdict() {
    expect_json summary.json ".verdict == \"$1\""
}

# expect_clients SERVED [LOST]: of those.  LOST were closed or reset: the kernel turns a close into a reset when there is
# something that was not read.
expect_clients() {
    expect_json client.json ".served == $1 and .closed + .reset == ${2:-0}"
}

# The same words, but for times and process ids.
without_times() {
    sed -E 's/[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?/TIME/g; s/[0-9]+#[0-9]+/PID/g; s/^[0-9]+:([A-Z]) /PID:\1 /; s/pid=[0-9]+/pid=PID/' "$1"
}

answers() {
    SNAG_HOST=127.0.0.1 SNAG_PORT=$port "$build/demo-client" -n 1 -t 1000 "${exchange[@]}"
}

# The server, started when another one of its kind has its port, and started when bind only says so, must say the same
# words and end with the same status, $1.
taken_port_is_as_real() {
    prepare
    start "${server[@]}"
    wait_for 15 answers
    server_prepare "$SERVER" "$port" "$PWD/second"
    run "${server[@]}"
    expect_status "$1"
    without_times $out >real.out
    without_times $err >real.err
    stop "$pid"
    run "$SNAG" run -q -e 'bind:error=EADDRINUSE' --summary summary.json -- "${server[@]}"
    expect_status "$1"
    expect_json summary.json '.injected > 0'
    without_times $out | diff real.out - >difference || { show difference; fail 'other words on stdout than with a real EADDRINUSE'; }
    without_times $err | diff real.err - >difference || { show difference; fail 'other words on stderr than with a real EADDRINUSE'; }
}

# A client gets the same bytes from the server with and without a session.
answers_are_the_same() {
    prepare
    start "${server[@]}"
    wait_for 15 answers
    SNAG_HOST=127.0.0.1 SNAG_PORT=$port sh -c "$1" >plain
    stop "$pid"
    expect_status 0
    run "$SNAG" run -q --summary summary.json --client "{ $1; } >session" -- "${server[@]}"
    expect_status 0
    [ -s plain ] || fail 'no answer'
    diff plain session >difference || { show difference; fail 'the answer differs in a session'; }
    expect_json summary.json '.injected == 0 and .exit == 0'
}
