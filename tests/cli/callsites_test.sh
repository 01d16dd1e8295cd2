#!/bin/bash
# Call sites: what trace -k shows beside strace -k; rules for one place alone, by function, by offset, by id; in programs with
# and without names, in C++, in plugins that come and go; what a trace, the summary and the report say of them.
. "${0%/*}/harness.sh"

TWO=$(program two_places)
# Connects to the server N times, one after the other, and prints what it says.
# shellcheck disable=SC2016
CLIENT='connect() { exec 3<>/dev/tcp/$SNAG_HOST/$SNAG_PORT && cat <&3; }; for ((i = 0; i < COUNT; i++)); do connect; done'

# clients N: a command for --client.
clients() {
    printf "bash -c '%s'" "COUNT=$1; $CLIENT"
}

# ids FILE CALL: the ids of the sites of a call in a trace, in the order in which they came.
ids() {
    jq -r "select(.type == \"call\" and .call == \"$2\").site" "$1" | awk '!seen[$0]++'
}

# The frames of strace -k are those of libc too; lines of source, and functions that were inlined, are ours alone.
test_frames_are_those_of_strace() {
    command -v strace >/dev/null || { echo 'no strace here'; return 0; }
    local caller
    caller=$(program caller)
    strace -k -o theirs -e trace=listen,bind,accept4 "$caller" 2>strace.err ||
        { grep -q 'not permitted' strace.err && { echo 'strace may not trace here'; return 0; }; }
    run "$SNAG" trace -k -q -e listen,bind,accept4 -- "$caller"
    expect_status 0
    sed -E '/^ > .*\/libc\.so\.6\(/d; /^\+\+\+/d; /^ >/!s/ .*//' theirs >want
    sed -E '/ \(inlined\)$/d; s/^( > .*\]) .*/\1/; /^ >/!s/ .*//' err >got
    [ "$(grep -c '^ > .*(main+0x' want)" -ge 3 ] || fail 'strace shows too few frames'
    diff want got || fail 'the frames differ (<: strace, >: snag)'
}

test_nginx() {
    local port
    port=$(free_port)
    # shellcheck source=../../scripts/servers.sh
    . "$tests_root/scripts/servers.sh"
    server_prepare nginx "$port" "$PWD/server"
    # shellcheck disable=SC2016
    run "$SNAG" trace -k -e accept4 --client 'curl -s $SNAG_HOST:$SNAG_PORT' -- "${server[@]}"
    expect_status 0
    expect_match err '^ > /usr/sbin/nginx\(ngx_event_accept\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]$'
    expect_match err '^ > /usr/sbin/nginx\(main\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]$'
    expect_match err '^snag: accept4 at ngx_event_accept: .*: -e accept4:error=EMFILE:site=[0-9a-f]{16}$'
    # shellcheck disable=SC2016
    run "$SNAG" run -e 'accept4:error=EMFILE:stack=ngx_event_accept:when=1' -e 'accept4:error=EMFILE:stack=ngx_http_*:times=9' \
        --client 'curl -s $SNAG_HOST:$SNAG_PORT' -- "${server[@]}"
    expect_status 0
    expect_match err '^snag: rule 1, .*: matched [0-9]+, injected 1, at ngx_event_accept(~2)?$'
    expect_match err '^snag: rule 2, .*: never matched$'
    expect_equal 'lines in the log' "$(grep -c 'accept4() failed (24: Too many open files)' err)" 1
}

# One place alone, though another calls accept as well.
test_one_place_alone() {
    run "$SNAG" run -e accept:error=EMFILE:caller=accept_first:times=1 --summary summary.json --client "$(clients 2)" -- "$TWO"
    expect_status 0
    expect_lines out <<<$'second\nfirst'
    expect_has err 'two_places: first: accept: Too many open files'
    expect_match err '^snag: rule 1, .*: matched 2, injected 1, at accept_first$'
    expect_json summary.json '.rules[0].sites as [$hit] | .sites | map(select(.site == $hit.site)) == [{"site": $hit.site, "call": "accept", "name": "accept_first", "calls": 2, "failed": 1, "injected": 1}]'
    run "$SNAG" run -e 'accept:error=EMFILE:caller=*_second:times=1' --client "$(clients 2)" -- "$TWO"
    expect_status 0
    expect_lines out <<<$'first\nfirst'
}

# accept_second is no function of its own in the program: the compiler made it part of main.
test_inlined_function() {
    nm "$TWO" >names
    expect_lacks names accept_second
    run "$SNAG" trace -k -q -e accept -e accept:error=EMFILE:stack=accept_second:times=1 --client "$(clients 2)" -- "$TWO"
    expect_status 0
    expect_match err '^ > .*/two_places\(accept_second\) \[0x[0-9a-f]+\] .*/two_places\.c:[0-9]+ \(inlined\)$'
    expect_match err '^ > .*/two_places\(main\+0x[0-9a-f]+\) \[0x[0-9a-f]+\] .*/two_places\.c:[0-9]+$'
    expect_equal 'injected' "$(grep -c INJECTED err)" 1
    expect_has err 'two_places: second: accept: Too many open files'
}

# Some linkers leave holes between a program's segments, which the loader then takes for several modules.
test_program_with_holes() {
    cc -O2 -no-pie -Wl,--section-start=.text=0x800000 -o holes "$tests_root/tests/cli/servers/two_places.c"
    run "$SNAG" trace -k -q -e accept -e accept:error=EMFILE:stack=accept_first:when=1 --client "$(clients 2)" -- ./holes
    expect_status 0
    expect_match err '^ > .*/holes\(accept_first\+0x[0-9a-f]+\) \[0x80[0-9a-f]+\]'
    expect_equal 'injected' "$(grep -c INJECTED err)" 1
    expect_has err 'two_places: first: accept: Too many open files'
}

# Without any name: by what trace -k showed, and by an id that is the same in each run.
test_stripped_program() {
    local offset first
    strip -o bare "$TWO"
    run "$SNAG" trace -k -q -e accept --client "$(clients 2)" -- ./bare
    expect_status 0
    offset=$(sed -nE "1,4s|^ > $PWD/bare\(\) \[(0x[0-9a-f]+)\]$|\1|p" err | head -n 1)
    [ -n "$offset" ] || { show err; fail 'no frame without a name'; }
    run "$SNAG" run -e "accept:error=EMFILE:stack=$offset@bare:times=1" --client "$(clients 2)" -- ./bare
    expect_status 0
    expect_has err 'two_places: first: accept: Too many open files'
    expect_match err "^snag: rule 1, .*: matched 2, injected 1, at $offset@bare$"
    run "$SNAG" run -o trace --client "$(clients 2)" -- ./bare
    first=$(ids trace accept | head -n 1)
    run "$SNAG" run -e "accept:error=EMFILE:site=$first:times=1" --client "$(clients 2)" -- ./bare
    expect_lines out <<<$'second\nfirst'
}

test_ids_are_equal_from_run_to_run() {
    run "$SNAG" run -o one --client "$(clients 3)" -- "$TWO"
    run "$SNAG" trace -o two --client "$(clients 3)" -- "$TWO"
    expect_equal 'sites of accept' "$(ids one accept | wc -l)" 2
    expect_equal 'ids in another run' "$(ids one accept)" "$(ids two accept)"
}

# A module that is mapped later counts as soon as snag has looked into it; it comes and goes until then, and once more.
test_plugin() {
    local plugin=$build/tests/plugin.so
    # shellcheck disable=SC2016
    run "$SNAG" trace -k -e accept -e 'accept:error=EMFILE:stack=plugin_accept@plugin.so:times=2' --client-timeout 30s \
        --client 'until grep -q "plugin: accept: Too many" err && grep -q plugin out; do curl -s --http0.9 $SNAG_HOST:$SNAG_PORT || :; done' -- "$TWO" "$plugin"
    expect_status 0
    expect_match err "^ > $plugin\(plugin_accept\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]"
    expect_match err '^snag: rule 1, .*: matched [0-9]+, injected [12], at plugin_accept$'
    expect_has out plugin
}

# Each form of a name in C++, and an exception that is thrown through the function.
test_cpp() {
    local name
    for name in 'net::Acceptor<int>::serve<std::*' 'net\:\:Acceptor\:\:serve' '_ZN3net8AcceptorIiE5serve*' 'net::*::serve'; do
        run "$SNAG" run -e "accept:error=EMFILE:caller=\"$name\":when=1" --client "$(clients 1)" -- "$(program templates)"
        expect_status 0
        expect_lines out <<<answer
        expect_has err 'templates: caught: accept failed'
        expect_match err '^snag: rule 1, .*: matched [23], injected 1, at net::Acceptor::serve$'
    done
}

# rustc puts functions into namespaces, and says of none where its code is.
test_rust() {
    /usr/bin/rustc -g -O -o rusty "$tests_root/tests/cli/servers/static.rs"
    run "$SNAG" trace -k -e accept4 -e 'accept4:error=EMFILE:stack=static\:\:serve:when=1' --send 'hi\n' --expect hi \
        -- ./rusty 0
    expect_status 0
    expect_equal 'failed accepts' "$(grep -c 'static: accept: Too many open files' err)" 1
    expect_match err '^ > .*/rusty\(<std::net::tcp::Incoming as .*>::next\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]'
    expect_match err '^ > .*/rusty\(static::serve\) \[0x[0-9a-f]+\] .*/static\.rs:8 \(inlined\)$'
    expect_match err '^ > .*/rusty\(static::main\+0x[0-9a-f]+\) \[0x[0-9a-f]+\] .*/static\.rs:26$'
}

test_python() {
    command -v python3 >/dev/null || { echo 'no python3 here'; return 0; }
    local port
    port=$(free_port)
    # shellcheck disable=SC2016
    run "$SNAG" trace -k -e accept4 -e 'accept4:error=ECONNABORTED:stack=_PyEval_EvalFrameDefault:when=1:queue=keep' \
        --client 'curl -s -o /dev/null $SNAG_HOST:$SNAG_PORT' -- python3 -m http.server --bind 127.0.0.1 "$port"
    expect_status 0
    expect_match err '^ > .*/(python3[0-9.]*|libpython.*)\(_PyEval_EvalFrameDefault\+0x[0-9a-f]+\) \[0x[0-9a-f]+\]'
    expect_match err '^accept4\(.*ECONNABORTED \(Software caused connection abort\) \(INJECTED\)$'
}

test_redis() {
    local port
    port=$(free_port)
    # shellcheck disable=SC2016
    run "$SNAG" run -e 'accept4:error=EMFILE:stack=acceptTcpHandler:when=1' --client 'redis-cli -h $SNAG_HOST -p $SNAG_PORT ping' \
        -o trace -- redis-server --port "$port" --bind 127.0.0.1 --save ''
    expect_status 0
    expect_match err '^snag: rule 1, .*: matched [0-9]+, injected 1, at anetTcpAccept'
    run "$SNAG" report trace
    expect_match out '^  accept4 +[0-9]+ +[0-9]+ +1  anetTcpAccept, 0x[0-9a-f]+ of redis-'
}

# What no module has is said, with the name that may be meant; under --strict such a rule fails the run.
test_names_that_are_not_there() {
    run "$SNAG" run -e accept:error=EMFILE:caller=acept_first -e accept:error=EMFILE:stack=f@two_palces --connect -- "$TWO"
    expect_status 0
    expect_match err '^snag: rule 1, caller=acept_first: no function of that name in two_places.*; did you mean accept_first\?$'
    expect_match err '^snag: rule 2, stack=f@two_palces: no module is called two_palces; did you mean two_places\?$'
    run "$SNAG" run -q --strict -e accept:error=EMFILE:caller=acept_first --connect -- "$TWO"
    expect_status 125
    expect_has err '--strict: a rule never matched or never fired'
}

# A line for each site before its first call, whose frames lead from the call to main; no call without a site.
test_trace() {
    run "$SNAG" run -o trace --summary summary.json --client "$(clients 3)" -- "$TWO"
    expect_status 0
    jq -s . trace >all
    expect_json all '[.[] | select(.type == "call") | .site | test("^[0-9a-f]{16}$")] | all and length > 5'
    expect_json all '[.[] | select(.type == "site").id] | length == (unique | length)'
    expect_json all 'to_entries as $lines | [$lines[] | select(.value.type == "call") | . as $call |
        ($lines[] | select(.value.type == "site" and .value.id == $call.value.site).key) < $call.key] | all'
    expect_json all '[.[] | select(.function == "accept_first").frames] | .[0][0] |
        .function == "accept_first" and .module == "two_places" and (.path | endswith("/two_places")) and (.file | endswith("two_places.c")) and (.line > 1) and (.offset | test("^0x[0-9a-f]+$"))'
    expect_json all '[.[] | select(.function == "accept_second").frames[0].inlined_into] | .[0][0].function == "main"'
    expect_json summary.json '.unwalked == 0 and .unresolved == 0 and ([.sites[] | select(.call == "accept")] | map(.name) == ["accept_first", "accept_second"])'
    run "$SNAG" run --summary summary.json --connect -- "$TWO"
    expect_json summary.json 'has("sites") == false'
}

test_report() {
    run "$SNAG" trace -o trace -e accept:error=EMFILE:when=1 --client "$(clients 3)" -- "$TWO"
    run "$SNAG" report trace
    expect_status 0
    expect_match out '^  accept +[23] +1 +1  accept_first, .*two_places\.c:[0-9]+$'
    expect_match out '^ +-e accept:error=EMFILE:site=[0-9a-f]{16}$'
    expect_match out ' s  listen backlog 16, in main$'
    expect_match out ' s  accept: EMFILE, injected, in accept_first$'
    run "$SNAG" report --json trace
    expect_json out '.sites[0] | .name == "accept_first" and .injected == 1 and .frames[0].function == "accept_first" and (.rule | startswith("accept:error=EMFILE:site="))'
    # The rule that it shows does what it says.
    jq -r '.sites[] | select(.name == "accept_second").rule' out >rule
    run "$SNAG" run -e "$(cat rule):times=1" --client "$(clients 2)" -- "$TWO"
    expect_lines out <<<$'first\nfirst'
}

# A rule that needs call sites is not run without them; a trace is, and says so.
test_without_libunwind() {
    local TINY refusal note
    TINY=$(program tiny)
    refusal="libunwind can't be used in the server, and a rule needs call sites: they take libunwind8, and glibc 2.35 or newer"
    note="libunwind can't be used in a process of the server, so its calls have no call sites: they take libunwind8, and glibc 2.35 or newer"
    if [ "${SNAG_BACKEND-}" = seccomp ]; then
        refusal="a rule needs call sites, and there are none: libunwind can't be loaded: install libunwind8"
        note="calls without call sites: libunwind can't be loaded: install libunwind8"
    fi
    export LD_PRELOAD=$build/tests/preload_no_unwind.so
    run "$SNAG" run -e accept:error=EMFILE:caller=main --connect -- "$TINY" 0
    expect_status 125
    expect_has err "snag: $refusal"
    run "$SNAG" run -o trace --summary summary.json --connect -- "$TINY" 0
    expect_status 0
    expect_has err "snag: $note"
    expect_match err '^snag: [0-9]+ calls without a call site$'
    unset LD_PRELOAD
    expect_json summary.json '.unwalked > 3 and .sites == []'
    jq -s . trace >all
    expect_json all '[.[] | select(.type == "call")] | length > 3 and all(.site == null and has("site"))'
    run "$SNAG" report trace
    expect_match out '^  [0-9]+ calls without a call site'
}

test_bad_usage() {
    run "$SNAG" run --stack-traces -- "$TWO"
    expect_status 125
    expect_lines err <<<'snag: --stack-traces is for snag trace; in snag run, -o FILE writes the call sites'
    run "$SNAG" run -k -- "$TWO"
    expect_lines err <<<'snag: unknown option -k; see snag run --help'
}

tests_main "$@"
