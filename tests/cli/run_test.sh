#!/bin/bash
# `snag run`: exit statuses, clients and probes, verdicts, the summary and the trace.
. "${0%/*}/harness.sh"

EMFILE3='accept:error=EMFILE:when=1..3'
TINY=$(program tiny)

test_version_and_help() {
    run "$SNAG" --version
    expect_match out '^snag 0\.1\.0 \(commit ([0-9a-f]{12}(-dirty)?|unknown)\)$'
    cp out whole
    run "$SNAG" run --version
    expect_lines out <whole
    run "$SNAG" run --help
    expect_status 0
    expect_has out 'usage: snag run'
    expect_empty err
    run "$SNAG"
    expect_status 125
    expect_has err 'usage: snag'
}

test_passes_the_exit_status_through() {
    run "$SNAG" run -- true
    expect_status 0
    expect_empty err
    run "$SNAG" run -- sh -c 'echo out; echo err >&2; exit 3'
    expect_status 3
    expect_lines out <<<out
    expect_lines err <<<err
    run "$SNAG" run -- sh -c 'kill -KILL $$'
    expect_status 137
}

# A shell script whose server is a child of its own, and which is over before it.
test_follows_what_outlives_its_parent() {
    run "$SNAG" run -- sh -c '(sleep 0.2; echo late; exit 6) & exit 0'
    expect_lines out <<<late
    expect_status 6
}

test_served_through_a_burst() {
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" 0
    expect_status 0
    expect_lines err <<'EOT'
tiny: accept: Too many open files
tiny: accept: Too many open files
tiny: accept: Too many open files
snag: ready: 127.0.0.1:*, pid *, after * ms
snag: rule 1, accept:error=EMFILE:when=1..3: matched 4, injected 3
snag: verdict: served: 1 of 1 clients answered, * ms after ready; 3 faults injected
EOT
}

test_redis_and_its_own_client() {
    local port
    port=$(free_port)
    # shellcheck disable=SC2016
    run "$SNAG" run -e 'accept4:error=EMFILE:when=1..50' --client 'redis-cli -h $SNAG_HOST -p $SNAG_PORT ping' -- \
        redis-server --port "$port" --bind 127.0.0.1 --save ''
    expect_status 0
    expect_has out PONG
    expect_match err '^snag: rule 1, .*: matched 5[0-9], injected 50$'
    expect_match err '^snag: verdict: served: 1 of 1 clients answered'
}

# The client's variables: one kind of address or the other, and the wildcard becomes loopback.
# An answer is an answer, whatever the accept was made to say; a bare connection may be one that the server drops.
test_answered_under_a_false_address() {
    local port rule='accept4:socklen=0:when=1'
    port=$(free_port)
    run "$SNAG" run -e "$rule" --send 'PING\r\n' --expect '+PONG' -- \
        redis-server --port "$port" --bind 127.0.0.1 --save ''
    expect_status 0
    expect_has err 'verdict: served: 1 of 1 clients answered'
    expect_lacks err 'was not seen'
    run "$SNAG" run -e "$rule" --send 'a\n' --expect a -- "$LISTENER_ECHO" --port "$port"
    expect_status 0
    expect_has err 'verdict: served: 1 of 2 clients answered'
}

test_client_gets_the_address() {
    # shellcheck disable=SC2016
    local show='echo "$SNAG_HOST|$SNAG_PORT|$SNAG_ADDR|$SNAG_PATH|$LD_PRELOAD|${SNAG_BOARD-unset}"' port
    port=$(free_port)
    run "$SNAG" run --client "$show" -- "$TINY" "$port"
    expect_lines out <<<"127.0.0.1|$port|127.0.0.1:$port|||unset"
    run "$SNAG" run --client "$show" -- "$TINY" ./sock
    expect_lines out <<<"|||$PWD/sock||unset"
    run "$SNAG" run --client "$show" -- "$TINY" "@snag-test-$$"
    expect_lines out <<<"|||@snag-test-$$||unset"
    port=$(free_port)
    run "$SNAG" run --client "$show" -- redis-server --port "$port" --bind 0.0.0.0 --save '' --logfile log
    expect_lines out <<<"127.0.0.1|$port|127.0.0.1:$port|||unset"
}

test_clients_exit_status_is_the_runs() {
    run "$SNAG" run -e "$EMFILE3" --client 'exit 5' -- "$TINY" 0
    expect_status 5
    expect_has err 'snag: verdict: untested: no fault was injected; client failed (exit status 5)'
    run "$SNAG" run --client 'kill -TERM $$' -- "$TINY" 0
    expect_status 143
}

test_client_timeout_gives_124() {
    export RUN_MAY_GIVE_124=yes
    run "$SNAG" run --client-timeout 200ms --client 'sleep 50' -- "$TINY" 0
    expect_status 124
    # One that ignores the signal, and its child, are gone too: the harness sees what stays behind.
    run "$SNAG" run --client-timeout 200ms --client 'trap "" TERM; sleep 50 & sleep 50' -- "$TINY" 0
    expect_status 124
}

test_exchange() {
    run "$SNAG" run -e "$EMFILE3" --send 'a\x62c\t\\\n' --expect 'abc\t\\' -- "$TINY" 0
    expect_status 0
    expect_has err 'verdict: served: 1 of 1 clients answered'
}

# A connection that is closed without the answer is followed by another one.
test_dropped_connections_are_tried_again() {
    run "$SNAG" run -e "$EMFILE3" --send x --expect x -- "$TINY" drops=3 0
    expect_status 0
    expect_match err 'verdict: served: 1 of 4 clients answered'
}

test_http() {
    run "$SNAG" run -e "$EMFILE3" --http /index -- "$TINY" 0
    expect_status 0
    expect_has err 'clients answered (HTTP 200)'
    run "$SNAG" run --http / -- "$TINY" ./sock
    expect_status 125
    expect_has err 'listens on a unix socket'
}

test_https() {
    local port
    port=$(free_port)
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=snag >/dev/null 2>&1
    run -i /dev/zero "$SNAG" run -e 'accept:delay_enter=1ms:when=1' --https / -- \
        openssl s_server -quiet -www -key key.pem -cert cert.pem -accept "127.0.0.1:$port"
    expect_status 0
    expect_has err 'clients answered (HTTP 200)'
}

test_unix_sockets_are_probed() {
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" ./sock
    expect_status 0
    expect_has err 'verdict: served'
    run "$SNAG" run -e "$EMFILE3" --send hello --expect hello -- "$TINY" "@snag-test-$$"
    expect_status 0
    expect_has err "ready: @snag-test-$$"
}

# The kernel completes a connection that nobody accepts: that is not "served".
test_deaf() {
    export RUN_MAY_GIVE_124=yes
    run "$SNAG" run -e "$EMFILE3" --connect --client-timeout 200ms -- "$TINY" deaf 0
    expect_status 124
    expect_has err 'verdict: deaf: 0 of 1 clients answered during the fault, and none in 10000 ms after the faults ended'
}

test_served_again_once_the_fault_is_over() {
    export RUN_MAY_GIVE_124=yes
    run "$SNAG" run -e 'accept:error=EMFILE:sticky:delay_exit=10ms' --connect --client-timeout 200ms -- "$TINY" 0
    expect_status 124
    expect_match err 'verdict: served: 0 of 1 clients answered during the fault; served again after [0-9]+ ms'
    run "$SNAG" run -e 'accept:error=EMFILE:delay_exit=10ms' \
        --client 'exec 3<>"/dev/tcp/$SNAG_HOST/$SNAG_PORT"; exit 4' -- "$TINY" 0
    expect_status 2
}

# It is ready and gone before anybody has looked: that is no failure to start, whoever is first.
test_ended_at_its_first_accept() {
    local i
    for i in 1 2 3 4 5; do
        run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" quits blocks 0
        expect_status 9
        expect_has err 'verdict: exited: exit status 9 while it was to serve; 1 fault injected'
        expect_lacks err 'before it was ready'
    done
}

test_exited() {
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" quits 0
    expect_status 9
    expect_has err 'verdict: exited: exit status 9 while it was to serve; 1 fault injected'
}

test_crashed() {
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" dies 0
    expect_status 134
    expect_has err 'verdict: crashed: ended by SIGABRT; 1 fault injected'
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" daemon dies 0
    expect_status 134
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" aborts 0
    expect_status 0
    expect_has err 'verdict: crashed: ended by SIGABRT when it was asked to stop'
}

test_server_killed_by_somebody_else() {
    # shellcheck disable=SC2016
    run "$SNAG" run -e socket:delay_enter=1ms:when=1 --client 'kill -KILL "$(cat server)"; sleep 0.1; exit 1' -- \
        sh -c 'echo $$ >server; exec "$0" 0' "$TINY"
    expect_status 137
    expect_has err 'verdict: crashed: ended by SIGKILL; 1 fault injected'
}

# A server's RLIMIT_NOFILE and descriptor numbers are part of what is tested.
test_no_descriptor_of_ours_is_inherited() {
    run sh -c 'ls /proc/self/fd'
    cp out plain
    run "$SNAG" run -o t.jsonl -- sh -c 'ls /proc/self/fd'
    diff plain out || fail 'there are more descriptors'
}

test_daemon_is_followed_and_stopped() {
    run "$SNAG" run -e "$EMFILE3" --send x --expect x -- "$TINY" daemon 0
    expect_status 0
    expect_has err 'verdict: served'
    # It is outside the group of the first process, and gets the stop signal all the same.
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" daemon aborts 0
    expect_has err 'ended by SIGABRT when it was asked to stop'
}

test_server_that_closes_all_descriptors() {
    run "$SNAG" run -e "$EMFILE3" --send x --expect x -- "$TINY" closes 0
    expect_status 0
    expect_has err 'matched 4, injected 3'
    expect_has err 'verdict: served'
}

test_server_that_ignores_the_stop_signal_is_killed() {
    run "$SNAG" run --stop-timeout 100ms --connect -- "$TINY" ignores child 0
    expect_status 0
    run "$SNAG" run --stop-signal QUIT --connect -- "$TINY" ignores 0
    expect_status 0
}

test_for_ends_the_run() {
    export RUN_MAY_GIVE_124=yes
    run "$SNAG" run --for 100ms -- "$TINY" 0
    expect_status 0
    run "$SNAG" run --for 100ms --client 'sleep 50' -- "$TINY" 0
    expect_status 124
    # That the client was cut short says nothing of the server.
    run "$SNAG" run -e "$EMFILE3" --for 300ms --client 'exec sleep 50' -- "$TINY" blocks 0
    expect_status 124
    expect_has err 'verdict: served: client timed out during the fault; served again'
}

test_ready_command() {
    (wait_for 20 test -e asked && echo >go) &
    run "$SNAG" run --ready 'echo >asked; echo noise; test -e go && test -n "$SNAG_PORT"' --connect -- "$TINY" 0
    wait
    expect_status 0
    expect_empty out
    run "$SNAG" run --ready false --ready-timeout 200ms --connect -- "$TINY" says=hello 0
    expect_status 125
    expect_has err 'snag: the --ready command did not succeed within 200ms'
    expect_has err 'snag:   | hello'
}

test_never_ready_says_the_last_words() {
    run "$SNAG" run --ready-timeout 200ms --connect -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo w$i; done; sleep 50'
    expect_status 125
    expect_has err 'snag: the server was not ready within 200ms'
    expect_has err 'snag:   | w12'
    expect_has err 'snag:   | w3'
    expect_lacks err 'snag:   | w2'
}

test_end_before_ready() {
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" says=goodbye exits=7 0
    expect_status 7
    expect_has err 'snag: the server ended with exit status 7 before it was ready'
    expect_has err 'snag:   | goodbye'
    expect_has err 'snag: verdict: untested: no fault was injected; exit status 7 before it was ready'
    run "$SNAG" run --connect -- "$TINY" exits=0 0
    expect_status 125
    run "$SNAG" run -e bind:error=EADDRINUSE --ready true -- "$TINY" 0
    expect_status 1
    expect_lacks err verdict
}

# A server that gives up at start has been tested, and its exit status stays the run's.
test_start_refused() {
    run "$SNAG" run --summary sum.json -e bind:error=EADDRINUSE --connect -- "$TINY" 0
    expect_status 1
    expect_has err 'snag: verdict: exited: exit status 1 before it was ready; 1 fault injected'
    expect_json sum.json '.verdict == "exited" and .exit == 1 and .evidence.clients == 0 and .evidence.injected == 1'
    run "$SNAG" run --summary sum.json -e listen:signal=SEGV --client true -- "$TINY" 0
    expect_status 139
    expect_has err 'snag: verdict: crashed: ended by SIGSEGV before it was ready; 1 fault injected'
    expect_json sum.json '.verdict == "crashed" and .signal == "SIGSEGV" and .evidence.clients == 0'
}

test_idle_rules_are_named() {
    run "$SNAG" run -e accept:error=ENFILE:when=99 -e bind:error=EADDRINUSE:port=1:name=lazy --connect -- "$TINY" 0
    expect_status 0
    expect_has err 'snag: rule 1, accept:error=ENFILE:when=99: matched 1 time, never fired'
    expect_has err 'snag: rule 2, lazy: never matched'
    run "$SNAG" run --strict -e accept:error=ENFILE:when=99 --connect -- "$TINY" 0
    expect_status 125
    expect_has err 'snag: --strict'
}

test_quiet_and_color() {
    run "$SNAG" run -q -e "$EMFILE3" --connect -- "$TINY" 0
    expect_status 0
    expect_lacks err snag
    run "$SNAG" run --color=always -e "$EMFILE3" --connect -- "$TINY" 0
    expect_has err $'verdict: \e[32mserved\e[0m'
    run "$SNAG" run -e "$EMFILE3" --connect -- "$TINY" 0
    expect_lacks err $'\e'
}

test_summary_file() {
    run "$SNAG" run --summary sum.json -e "$EMFILE3" -e bind:error=EIO:force:when=9:name=n --connect -- "$TINY" 0
    expect_status 0
    expect_json sum.json '.type == "summary" and .injected == 3 and .lost == 0 and .verdict == "served"'
    expect_json sum.json '.exit == null and .signal == "SIGTERM" and .unreached == []'
    expect_json sum.json '.rules[0] == {rule: 1, text: "accept:error=EMFILE:when=1..3", name: null, matched: 4, injected: 3,
                                        missed: 0, yielded: 0}'
    expect_json sum.json '.rules[1].name == "n" and .rules[1].matched == 1 and .rules[1].injected == 0'
    expect_json sum.json '.evidence.injected == 3 and .evidence.answered and .evidence.served_ms >= 0 and .ready_ms >= 0'
    run "$SNAG" run --summary sum.json -- sh -c 'exit 3'
    expect_json sum.json '.exit == 3 and .verdict == null and .evidence == null'
    expect_equal files "$(echo sum.json*)" sum.json
}

test_trace() {
    run "$SNAG" run -o t.jsonl --seed 7 -e "$EMFILE3" --send x --expect x -- "$TINY" 0
    expect_status 0
    jq -s . t.jsonl >all.json
    expect_json all.json '.[0] | .type == "session" and .snag == "0.1.0" and .format == 1 and .seed == 7 and
        .backend == "preload" and (.argv | length) == 2 and .plan == ["accept:error=EMFILE:when=1..3"]'
    expect_json all.json '.[-1] | .type == "summary" and .verdict == "served"'
    expect_json all.json '[.[] | select(.type == "process")] | length == 1 and .[0].comm == "tiny"'
    expect_json all.json '[.[] | select(.type == "call").seq] | . == [range(1; length + 1)]'
    expect_json all.json '[.[] | select(.type == "call" and .injected)] | map(.nth) == [1, 2, 3] and
        all(.call == "accept" and .ret == -1 and .errno == "EMFILE" and .rule == 1)'
    expect_json all.json '[.[] | select(.call == "accept" and .ret >= 0)] | length == 1 and
        (.[0].peer | startswith("127.0.0.1:")) and (.[0] | has("rule") | not)'
    expect_json all.json '[.[] | select(.call == "listen")][0] | .backlog == 16'
    expect_json all.json '[.[] | select(.call == "bind")][0].local == "127.0.0.1:0"'
    expect_json all.json '.[-1].calls == ([.[] | select(.type == "call")] | length)'
}

test_trace_of_named_calls() {
    run "$SNAG" run -o t.jsonl -e trace=bind -e "$EMFILE3" -- "$TINY" exits=0 0
    run "$SNAG" run -o t.jsonl -e trace=bind -e listen:retval=0:when=5 --for 10ms -- "$TINY" 0
    jq -rs '[.[] | select(.type == "call").call] | unique | join(" ")' t.jsonl >calls
    expect_lines calls <<<bind
}

# Several processes, one order: seq has no gaps, and each process keeps its own order.
test_trace_of_several_processes() {
    run "$SNAG" run -o t.jsonl --for 100ms -- sh -c "$TINY exits=0 0; $TINY 0 & $TINY 0 & $TINY 0 & wait"
    expect_status 0
    jq -s . t.jsonl >all.json
    expect_json all.json '[.[] | select(.type == "call").seq] | . == [range(1; length + 1)]'
    expect_json all.json '[.[] | select(.call == "listen").pid] | unique | length == 3'
    expect_json all.json '[.[] | select(.type == "call")] | group_by(.tid) |
        all(map(.t_ns + .dur_ns) | . == sort)'
    expect_json all.json '[.[] | select(.type == "process").comm] | (map(select(. == "tiny")) | length) >= 4'
}

# Output is passed on whole and in order, also where the two are one file and nobody reads for a while.
test_output_is_passed_on_whole() {
    run "$SNAG" run --connect -- "$TINY" floods=100000 0
    expect_status 0
    expect_equal lines "$(grep -c '^line' out)" 100000
    # Nobody reads until the server is up: it must not have to wait for that.
    "$SNAG" run -v --connect -- "$TINY" floods=50000 0 2>err | (wait_for 20 grep -q 'snag: ready' err; wc -l) >count
    expect_lines count <<<50000
    # shellcheck disable=SC2016
    "$SNAG" run -- sh -c 'i=0; while [ $i -lt 500 ]; do echo $i; i=$((i + 1)); echo $i >&2; i=$((i + 1)); done' >both 2>&1
    set_others_apart both
    seq 0 499 | diff - both >difference || fail 'the order of stdout and stderr is lost'
}

test_output_into_a_device_or_a_file_is_no_news() {
    run sh -c '"$@" > /dev/null' - "$SNAG" run -- sh -c 'echo a; echo b >&2'
    expect_lines err <<<b
    run sh -c '"$@" 2> /dev/null' - "$SNAG" run -- sh -c 'echo a; echo b >&2'
    expect_lines out <<<a
    expect_empty err
}

test_reader_of_the_output_that_goes_away() {
    "$SNAG" run --connect -- "$TINY" floods=50000 0 2>err | head -1 >first
    expect_has err 'verdict: untested'
    expect_lines first <<<'line 0 *'
}

test_an_existing_preload_is_kept() {
    # shellcheck disable=SC2016
    run env LD_PRELOAD=libm.so.6 "$SNAG" run -- sh -c 'echo "$LD_PRELOAD"'
    expect_lines out <<<"*/libsnag.so:libm.so.6"
}

# gcc's AddressSanitizer ends a program in which another library comes first, unless it is told.
test_servers_with_address_sanitizer() {
    local asan
    asan=$(program tiny_asan)
    run "$SNAG" run -e "$EMFILE3" --send x --expect x -- "$asan" 0
    expect_status 0
    expect_has err 'matched 4, injected 3'
    expect_has err 'verdict: served'
    # What the user has set stays, and this option too.
    run env ASAN_OPTIONS=help=1 "$SNAG" run -e "$EMFILE3" --connect -- "$asan" 0
    expect_status 0
    expect_has err 'verify_asan_link_order'
    expect_has err 'verdict: served'
    if readelf -d "$asan" | grep libasan >/dev/null; then
        run env ASAN_OPTIONS=verify_asan_link_order=1 "$SNAG" run -- "$asan" exits=0 0
        expect_has err 'ASan runtime does not come first'
    fi
    # Nobody else gets it.
    # shellcheck disable=SC2016
    run env -u ASAN_OPTIONS "$SNAG" run -- sh -c 'echo "${ASAN_OPTIONS-unset}"'
    expect_lines out <<<unset
}

test_signals_are_as_without_snag() {
    # shellcheck disable=SC2016
    local show='grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status'
    run sh -c "$show"
    cp out plain
    run "$SNAG" run -- sh -c "$show"
    diff plain out || fail 'signal dispositions differ'
}

# The head of main.c is the map of the files.
test_map_of_the_files() {
    local file name map
    map=$(sed -n '1,/^ \*\/$/p' "$tests_root/inject/main.c")
    for file in "$tests_root"/inject/{control,engine,run,explore,sites,trace}/*.c; do
        name=${file##*/}
        grep -qE "\b(${name}|${name%.c}\.\[ch\])" <<<"$map" ||
            fail "main.c does not say what $file is"
    done
}

# A wrapper that the version script does not name would be left out, and nobody called.
test_each_wrapper_is_exported() {
    sed -nE 's/^WRAPPER .*[ *]([a-z_0-9]+)\(.*/\1/p' "$tests_root"/shim/*.c | sort -u >wrappers
    nm -D --defined-only "$SHIM" | sed -E 's/.* ([^ @]+).*/\1/' | sort -u >exports
    [ "$(wc -l <wrappers)" -gt 40 ] || fail 'few wrappers were found'
    comm -23 wrappers exports >left_out
    expect_empty left_out
}

# The same plan, seed and serial client: the same decisions, a hundred times, but for times, ids and the ports of clients.
test_the_same_decisions_each_time() {
    local i server
    # shellcheck disable=SC2016
    server='use Socket; socket(L, PF_INET, SOCK_STREAM, 0) && bind(L, sockaddr_in(0, INADDR_LOOPBACK)) && listen(L, 16) or die;
        for ($served = 0; $served < 8;) { accept(C, L) or next; syswrite(C, "hi"); close(C); $served++ }'
    # The last client waits for the end of the server, so that the log has its last calls.  A connection that is reset may
    # be so before connect() returns, which then fails: that is no end.
    cat >client.sh <<'END'
hi=0
for ((i = 0; i < 1000 && hi < 8; i++)); do
    [ "$(exec 3<>"/dev/tcp/$SNAG_HOST/$SNAG_PORT" && cat <&3)" != hi ] || hi=$((hi + 1))
done
while (exec 3<>"/dev/tcp/$SNAG_HOST/$SNAG_PORT"); do :; done
END
    export PERL_HASH_SEED=0
    for ((i = 1; i <= 100; i++)); do
        "$SNAG" run -q --seed 7 -o "trace.$i" -e '%accept:error=ECONNABORTED:prob=0.3' -e '%accept:error=EMFILE:prob=0.4:times=5' \
            -e '%accept:error=EINTR:when=3+4:per=process' --client 'bash client.sh 2>/dev/null' -- perl -e "$server" >"out.$i" 2>&1 ||
            [ -s "trace.$i" ] || fail "run $i: $(cat "out.$i")"
        jq -c 'select(.type == "call") | del(.t_ns, .dur_ns, .pid, .tid, .peer, .local)' "trace.$i" >"log.$i"
        cmp -s log.1 "log.$i" || {
            diff log.1 "log.$i" >different || :
            show different
            tail -n 1 "trace.$i"
            fail "run $i decided otherwise (<: run 1)"
        }
    done
    jq -s '{injected: map(select(.injected)) | group_by(.rule) | map({(.[0].rule | tostring): length}) | add,
            served: map(select((.call | startswith("accept")) and .ret >= 0)) | length}' log.1 >decided
    expect_json decided '.served == 8 and (.injected | keys) == ["1", "2", "3"] and .injected["2"] == 5'
}

tests_main "$@"
