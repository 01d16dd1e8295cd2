#!/bin/bash
# Servers of Debian's that differ in how they wait for clients and in who serves them: each starts, answers, and serves again
# after an EMFILE.  (apache2, node and postgresql are big and unbound sleeps for two seconds; `make gauntlet` runs them too.)
# shellcheck source=common.sh
. "${0%/*}/common.sh"

# one_emfile SERVER [SERVED [LOST]]: the first accept fails; so many of its clients are answered, all unless told.
one_emfile() {
    SERVER=$1
    prepare
    session -e '%accept:error=EMFILE:when=1'
    expect_injected 1
    expect_clients "${2:-20}" "${3:-0}"
    expect_verdict served
    expect_json summary.json '.unreached == [] and .rules[0].matched > 1'
}

test_haproxy_serves_after_emfile() {
    one_emfile haproxy
}

test_lighttpd_serves_after_emfile() {
    one_emfile lighttpd
}

test_python_asyncio_serves_after_emfile() {
    one_emfile python-asyncio
}

test_dnsmasq_serves_after_emfile() {
    one_emfile dnsmasq
}

# At EMFILE it closes a spare descriptor and turns away the client that this lets it accept.
test_mosquitto_turns_one_away_at_emfile() {
    one_emfile mosquitto 19 1
}

# It listens with a backlog of 5.
test_python_http_serves_after_emfile() {
    CLIENTS=4
    one_emfile python-http 4
}

# What answers is a child in a seccomp sandbox, which kills it at a system call that it does not expect.
test_sshd_serves_after_emfile() {
    one_emfile sshd
}

# Its child polls in the sandbox; traced, it must live on to say that the client went.
test_sshd_child_survives_being_traced() {
    local client
    SERVER=sshd
    prepare
    server+=(-E "$PWD/log")
    client=$(printf '%q ' "$build/demo-client" "${exchange[@]}" -n 3)
    run "$SNAG" trace -o trace.jsonl --client-timeout 20s \
        --client "$client && until [ \"\$(grep -c '^Connection closed by' log)\" = 3 ]; do sleep 0.02; done" -- "${server[@]}"
    expect_status 0
}

test_vsftpd_serves_after_emfile() {
    one_emfile vsftpd
}

test_ustreamer_serves_after_emfile() {
    one_emfile ustreamer
}

tests_main "$@"
