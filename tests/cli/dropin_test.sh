#!/bin/bash
# libevconnlistener from the outside: its names, and that it takes the place of libevent's listener in programs that know
# nothing of it.  EVCONNLISTENER_REPORT makes ours say at the end what it served: libevent's says nothing.
. "${0%/*}/harness.sh"

LIBRARY=$build/libevconnlistener.so
export EVCONNLISTENER_REPORT=1

# serves COMMAND...: it prints its port, answers, and was served by our listener.
serves() {
    start "$@"
    wait_for 10 test -s "$pid.out"
    run curl -s --max-time 10 "http://127.0.0.1:$(cat "$pid.out")/"
    expect_status 0
    expect_lines out <<<answered
    wait_for 10 ended "$pid"
}

expect_ours() {
    expect_match "$pid.err" "^evconnlistener: 127\.0\.0\.1:[0-9]+ policy=${1-backoff} .* accepted=1 "
}

declared_names() {
    printf '#include "listener/evconnlistener.h"\n' | gcc -E -P -I"$tests_root" -xc - |
        grep -oE '\bevconnlistener_[a-z_]+ *\(' | tr -d ' (' | sort -u
}

test_exports_what_its_headers_declare() {
    nm -D --defined-only "$LIBRARY" | awk '{ print $3 }' | sort >exported
    declared_names >declared
    [ "$(wc -l <declared)" -gt 20 ] || fail 'the headers were not read'
    diff declared exported >difference || { show difference; fail 'declared (<) and exported (>) differ'; }
    nm --defined-only --extern-only "$build/libevconnlistener.a" | awk '$3 ~ /^evconn/ { print $3 }' | sort >static
    diff declared static >difference || { show difference; fail 'declared (<) and in the static library (>) differ'; }
}

# A libevent of its own would not know the program's event bases.
test_needs_libc_alone() {
    run readelf -dW "$LIBRARY"
    expect_equal 'DT_NEEDED' "$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' out)" libc.so.6
}

test_plain_program_does_not_use_it() {
    serves "$build/tests/evhttp"
    expect_empty "$pid.err"
}

test_preloaded_it_serves_evhttp() {
    serves env LD_PRELOAD="$LIBRARY" "$build/tests/evhttp"
    expect_ours
    serves env LD_PRELOAD="$LIBRARY" EVCONNLISTENER_POLICY=libevent "$build/tests/evhttp"
    expect_ours libevent
    serves env LD_PRELOAD="$LIBRARY" LD_BIND_NOW=1 "$build/tests/evhttp"
    expect_ours
}

test_preloaded_it_serves_a_program_of_libevent_core_and_extra() {
    serves env LD_PRELOAD="$LIBRARY" "$build/tests/evhttp_core"
    expect_ours
}

test_linked_before_libevent_it_serves_evhttp() {
    serves env LD_LIBRARY_PATH="$build" "$build/tests/evhttp_shared"
    expect_ours
    serves "$build/tests/evhttp_archive"
    expect_ours
    [ -x "$build/tests/evhttp_static" ] || return 0 # a static program can't have a sanitizer
    serves "$build/tests/evhttp_static"
    expect_ours
}

test_does_no_harm_where_there_is_no_libevent() {
    run env LD_PRELOAD="$LIBRARY" true
    expect_status 0
    expect_empty err
    run env LD_PRELOAD="$LIBRARY" LD_BIND_NOW=1 sh -c 'echo fine'
    expect_lines out <<<fine
    expect_empty err
}

# A program of Debian's on evhttp: it serves its state though there is no camera.
test_serves_ustreamer() {
    local port
    port=$(free_port)
    start env LD_PRELOAD="$LIBRARY" ustreamer --host 127.0.0.1 --port "$port" --device "$PWD/none"
    wait_for 10 curl -s --max-time 5 -o state "http://127.0.0.1:$port/state"
    expect_json state .ok
    stop "$pid"
    expect_match "$pid.err" "^evconnlistener: 127\.0\.0\.1:$port policy=backoff .* accepted=[1-9]"
}

# And one on evconnlistener itself, with a unix socket, which it asks to be reuseable: only libevent's policy takes that.
test_serves_fstrm_capture() {
    local capture=(fstrm_capture -t protobuf:test -u "$PWD/socket" -w "$PWD/frames")
    run env LD_PRELOAD="$LIBRARY" "${capture[@]}"
    expect_status 1
    expect_has err "A unix socket can't be LEV_OPT_REUSEABLE"
    start env LD_PRELOAD="$LIBRARY" EVCONNLISTENER_POLICY=libevent "${capture[@]}"
    wait_for 10 test -S socket
    run curl -s --max-time 1 --unix-socket socket http://none/
    stop "$pid" INT
    expect_match "$pid.err" "^evconnlistener: unix:$PWD/socket policy=libevent .* accepted=1 "
}

tests_main "$@"
