#!/bin/bash
# nginx, a master and a worker, with faults in its calls.
SERVER=nginx
# shellcheck source=common.sh
. "${0%/*}/common.sh"

test_answers_the_same_in_a_session() {
    answers_are_the_same "curl -s -i http://\$SNAG_HOST:\$SNAG_PORT/ | grep -v '^Date:'"
}

# At EMFILE nginx stops accepting for 500 ms: two in a row make it a second.
test_emfile_burst_is_waited_out() {
    session -e 'accept4:error=EMFILE:when=1..2'
    expect_status 0
    expect_injected 2
    expect_clients 20
    expect_json client.json '.first_ms > 900'
    expect_verdict served
    expect_equal 'log lines' "$(grep -c 'accept4() failed (24: Too many open files)' err)" 2
}

test_eintr_is_retried() {
    session -e 'accept4:error=EINTR:when=1..5'
    expect_status 0
    expect_injected 5
    expect_clients 20
    expect_verdict served
}

# The kernel's ECONNABORTED takes the connection with it: those clients, and no others, are lost.
test_econnaborted_loses_those_clients_alone() {
    session -e 'accept4:error=ECONNABORTED:when=1..3:pending'
    expect_status 1
    expect_injected 3
    expect_clients 17 3
}

# nginx can't name such a client, closes it, and goes on.
test_zero_length_address_costs_those_clients_alone() {
    session -e 'accept4:socklen=0:when=1..5:pending'
    expect_status 1
    expect_injected 5
    expect_clients 15 5
    expect_verdict served
}

test_daemon_is_followed_and_stopped() {
    prepare
    sed -i 's/^daemon off;/daemon on;/' server/nginx.conf
    session -e 'accept4:error=EINTR:when=1..5'
    expect_status 0
    expect_injected 5
    expect_clients 20
    expect_verdict served
}

# The plan changes some hundred times while wrk keeps nginx busy: what the trace shows of each rule lies between its
# lines "add" and "del", every injected call is a rule's, and no client gets an answer that is wrong.
test_a_plan_changed_under_load() {
    local i calls called=nginx-load-$$
    prepare
    start "$SNAG" run -v --name "$called" -e trace=accept4,close -o trace.jsonl --summary summary.json -- "${server[@]}"
    session=$pid
    wait_for 20 grep -q 'snag: ready' "$session.err"
    start wrk -t 1 -c 4 -d 30 -H 'Connection: close' "http://127.0.0.1:$port/"
    load=$pid
    for ((i = 1; i <= 150; i++)); do
        "$SNAG" ctl "$called" add accept4:error=ECONNABORTED:prob=0.5:queue=keep close:delay_enter=1 >numbers
        [ $((i % 10)) != 0 ] || "$SNAG" ctl "$called" reset
        "$SNAG" ctl "$called" del "$(head -n 1 numbers)" "$(tail -n 1 numbers)"
    done
    run "$SNAG" ctl "$called" stats --json
    expect_json $out '.rules == [] and .deleted.rules == 300 and .deleted.matched > 100'
    stop "$load" INT
    expect_lacks "$load.out" 'Non-2xx'
    stop "$session"
    jq -n '[inputs] | (map(select(.type == "plan" and .change == "add") | . as $p | .rules[] | {key: "\(.rule)", value: $p.t_ns})
            | from_entries) as $add | (map(select(.type == "plan" and .change == "del") | . as $p | .rules[]
            | {key: "\(.rule)", value: $p.t_ns}) | from_entries) as $del | map(select(.type == "call" and .injected)) as $calls
            | {calls: ($calls | length), early: ($calls | map(select(.t_ns < $add["\(.rule)"])) | length),
               late: ($calls | map(select(.t_ns > $del["\(.rule)"])) | length)}' trace.jsonl >order
    expect_json order '.calls > 50 and .early == 0 and .late == 0'
    expect_json summary.json '([.rules[].injected] | add) == .injected and (.rules | length) == 300'
    # A slow machine may lose records, and says how many.
    calls=$(jq .calls order)
    expect_json summary.json ".injected >= $calls and .injected <= $calls + .lost"
}

test_taken_port_ends_it_as_a_real_one() {
    taken_port_is_as_real 1
    expect_has err 'failed (98: Address already in use)'
    expect_has err 'still could not bind()'
}

tests_main "$@"
