#!/bin/bash
# `snag report`: a trace made by hand, whole and damaged in each way; and one of a real run.
. "${0%/*}/harness.sh"

SESSION='{"type":"session","snag":"0.1.0","format":1,"argv":["server","-p",""],"plan":["accept4:error=EMFILE:when=1..2"],"seed":7,"backend":"preload","started":"2024-05-06T07:08:09Z"}'
SUMMARY='{"type":"summary","calls":9,"injected":1,"lost":0,"exit":0,"signal":null,"rules":[{"rule":1,"text":"accept4:error=EMFILE:when=1..2","matched":3,"injected":1,"missed":1}],"verdict":"served","evidence":{"text":"1 of 1 clients answered"}}'

# call NAME PID FD RET T_US DUR_NS [MORE]: a line "call".
seq=0
call() {
    seq=$((seq + 1))
    printf '{"type":"call","seq":%d,"t_ns":%d000,"dur_ns":%d,"pid":%d,"tid":%d,"call":"%s","fd":%d,"ret":%d,"injected":%s%s}\n' \
        $seq "$5" "$6" "$2" "$2" "$1" "$3" "$4" "$([[ ${7-} == *rule* && ${7-} != *missed* ]] && echo true || echo false)" "${7-}"
}

# A parent that makes the listener, and a child that accepts, in the end a client for which it has to wait.
whole() {
    echo "$SESSION"
    echo '{"type":"process","pid":10,"ppid":1,"exe":"/bin/server","comm":"server"}'
    call socket 10 -1 6 1000 100
    call setsockopt 10 6 0 1001 100
    call bind 10 6 0 1002 200 ',"local":"127.0.0.1:80"'
    call listen 10 6 0 1003 300 ',"backlog":16'
    echo '{"type":"process","pid":11,"ppid":10,"exe":"/bin/server","comm":"worker"}'
    call accept4 11 6 -1 2000 0 ',"errno":"EMFILE","rule":1,"nth":1'
    call accept4 11 6 -1 2500 90 ',"errno":"EAGAIN","rule":1,"nth":2,"missed":true'
    call accept4 11 6 7 2600 400000 ',"peer":"127.0.0.1:5000"'
    call close 11 7 0 5000 400
    call close 10 6 0 9000 500
    echo "$SUMMARY"
}

# dup and dup2 double a listener; dup2 ends what had the number before, whatever it gives the number to.
test_copies_of_a_listener() {
    {
        echo "$SESSION"
        echo '{"type":"process","pid":10,"ppid":1,"exe":"/bin/server","comm":"server"}'
        call socket 10 -1 6 1000 100
        call bind 10 6 0 1002 200 ',"local":"127.0.0.1:80"'
        call listen 10 6 0 1003 300 ',"backlog":16'
        call dup 10 6 9 1100 100
        call getsockopt 10 9 0 1150 100
        call dup2 10 6 8 1200 100
        call dup2 10 6 6 1210 100
        call close 10 6 0 1300 100
        call dup2 10 2 8 1400 100
        call shutdown 10 9 0 1500 100
        call close 10 9 0 1600 100
        echo "$SUMMARY"
    } >trace
    run "$SNAG" report trace
    expect_status 0
    sed -n '/^Sockets/,$p' out >sockets
    expect_lines sockets <<'EOT'
Sockets of process 10 server, child of 1, /bin/server
  fd 6, 127.0.0.1:80
        0.001000 s  socket
        0.001002 s  bind 127.0.0.1:80
        0.001003 s  listen backlog 16
        0.001100 s  dup
        0.001200 s  dup2, 2 times, until 0.001210 s
        0.001300 s  close
  fd 9, a copy
        0.001100 s  dup
        0.001150 s  getsockopt
        0.001500 s  shutdown
        0.001600 s  close
  fd 8, a copy
        0.001200 s  dup2, 2 times, until 0.001400 s
EOT
}

test_whole_trace() {
    whole >trace
    run "$SNAG" report trace
    expect_status 0
    expect_empty err
    expect_lines out <<'EOT'
server -p ''
  snag 0.1.0, preload, started 2024-05-06T07:08:09Z, seed 7
  9 calls in 9 ms, 1 injected
  ended with exit status 0
  verdict: served: 1 of 1 clients answered

Rules
  rule     matched    injected    missed
     1           3           1         1  accept4:error=EMFILE:when=1..2

Calls
                    count   failed injected      total     median        max
  accept4               3        2        1     400 us      91 ns     400 us  EAGAIN 1, EMFILE 1
  close                 2        0        0     900 ns     404 ns     500 ns
  bind                  1        0        0     200 ns     200 ns     200 ns
  listen                1        0        0     300 ns     300 ns     300 ns
  setsockopt            1        0        0     100 ns     100 ns     100 ns
  socket                1        0        0     100 ns     100 ns     100 ns

Sockets of process 10 server, child of 1, /bin/server
  fd 6, 127.0.0.1:80
        0.001000 s  socket
        0.001001 s  setsockopt
        0.001002 s  bind 127.0.0.1:80
        0.001003 s  listen backlog 16
        0.009000 s  close

Sockets of process 11 worker, child of 10, /bin/server
  fd 6, 127.0.0.1:80, was there before
        0.002000 s  accept4: EMFILE, injected
        0.002500 s  accept4: EAGAIN
        0.003000 s  accept4
                    of its 1 connections 1 were closed, after 2 ms on average
                    open at the end
EOT
}

test_the_same_as_json() {
    whole >trace
    run "$SNAG" report --json trace
    expect_status 0
    expect_json out '.finished and .session.seed == 7 and .rules[0].missed == 1'
    expect_json out '.calls[0] | .call == "accept4" and .errors.EMFILE == {"count": 1, "injected": 1} and .max_ns == 400000'
    expect_json out '.processes[1].sockets[0] | .origin == "inherited" and .local == "127.0.0.1:80" and .end_ns == null'
    expect_json out '.processes[1].sockets[0].connections == {"accepted": 1, "closed": 1, "lived_ns": 2000000}'
    expect_json out '.processes[0].sockets[0].steps | map(.call) == ["socket", "setsockopt", "bind", "listen", "close"]'
}

test_stdin() {
    whole >trace
    run -i trace "$SNAG" report -
    expect_status 0
    expect_has out 'fd 6, 127.0.0.1:80'
}

# What a killed snag leaves: no summary, or half a line.  It is said, and the rest counts.
test_unfinished() {
    whole | sed '$d' >trace
    run "$SNAG" report trace
    expect_status 0
    expect_has out 'unfinished: there is no summary'
    expect_match out '^ +1 +\? +1 +1  accept4:error=EMFILE'
    whole | head -c -300 | head -c -1 >trace
    run "$SNAG" report trace
    expect_status 0
    expect_match out 'unfinished: there is no summary, and line [0-9]+ ends in its middle'
    run "$SNAG" report --json trace
    expect_json out '.finished == false and .summary == null and .rules[0].matched == null and .rules[0].injected == 1'
    whole | head -c -1 >trace # the newline alone is missing
    run "$SNAG" report trace
    expect_lacks out unfinished
}

# expect_bad WANT: the trace in the file `trace` is refused, with that line.
expect_bad() {
    run "$SNAG" report trace
    expect_status 125
    expect_empty out
    expect_lines err <<<"$1"
}

test_damaged() {
    whole | sed '4s/"ret":0/"ret":"x"/' >trace
    expect_bad 'snag: trace:4: "ret": expected a whole number or null'
    whole | sed '5s/"pid":10,//' >trace
    expect_bad 'snag: trace:5: "pid" is missing: expected a whole number of 0 or more'
    whole | sed '5s/"t_ns":[0-9]*/"t_ns":-5/' >trace
    expect_bad 'snag: trace:5: "t_ns": expected a whole number of 0 or more'
    whole | sed '3s/^.//' >trace
    expect_bad 'snag: trace:3: column *: expected a JSON object: *'
    whole | sed '3s/.*/[1]/' >trace
    expect_bad 'snag: trace:3: expected an object with a "type", such as session, call or summary'
    whole | sed '1s/"format":1/"format":2/' >trace
    expect_bad 'snag: trace:1: "format": expected 1, and this trace has 2'
    whole | sed 1d >trace
    expect_bad 'snag: trace:1: expected a trace, whose first line is {"type":"session",...}'
    { whole; whole; } >trace
    run "$SNAG" report trace
    expect_status 125
    expect_has err 'trace:14: a second session: expected one trace in a file'
    : >trace
    expect_bad 'snag: trace:1: expected a trace, and the file is empty'
    { echo "$SESSION"; head -c 1200000 /dev/zero | tr '\0' x; } >trace
    expect_bad 'snag: trace:2: expected a line of a trace, and this is longer than 1048576 bytes'
    printf '%s' "${SESSION:0:50}" >trace
    expect_bad 'snag: trace: expected a trace, and it ends in the middle of its first line'
    { echo "$SESSION"; for _ in $(seq 50); do echo x; done; } >trace
    run "$SNAG" report trace
    expect_status 125
    expect_equal 'lines of errors' "$(wc -l <err)" 21
    expect_has err 'trace: 30 more bad lines'
}

test_bad_usage() {
    run "$SNAG" report
    expect_status 125
    run "$SNAG" report a b
    expect_has err 'one trace alone'
    run "$SNAG" report --jsn a
    expect_has err 'did you mean --json?'
    run "$SNAG" report .
    expect_has err '.: expected a folder of snag explore'
    run "$SNAG" report missing
    expect_lines err <<<"snag: can't read the trace missing: No such file or directory"
    whole >trace
    status=0
    "$SNAG" report trace >/dev/full 2>err || status=$?
    expect_status 125
    expect_lines err <<<"snag: can't write the report: No space left on device"
}

# What a server put into a trace can't move the cursor, and no line is wider than 100 columns.
test_terminal_is_safe() {
    whole | sed '1s/"server"/"\\u001b[2J\\u0007\\u009bserver'"$(printf 'x%.0s' $(seq 300))"'"/' >trace
    run "$SNAG" report trace
    expect_status 0
    expect_equal 'lines above 100 columns' "$(awk 'length > 100' out | wc -l)" 0
    expect_match out '^\?\[2J\?\?server'
    expect_equal 'control characters' "$(LC_ALL=C tr -d '\n\040-\176' <out | wc -c)" 0
}

# Many connections, one listener: memory grows with neither calls nor connections.
test_memory_is_bounded() {
    { echo "$SESSION"
      call socket 10 -1 6 1 1
      call bind 10 6 0 2 1 ',"local":"[::]:80"'
      awk 'BEGIN { for (i = 0; i < 200000; i++) {
            printf "{\"type\":\"call\",\"seq\":1,\"t_ns\":%d,\"dur_ns\":10,\"pid\":10,\"tid\":10,\"call\":\"accept\",\"fd\":6,\"ret\":7,\"injected\":false}\n", i * 100
            printf "{\"type\":\"call\",\"seq\":1,\"t_ns\":%d,\"dur_ns\":10,\"pid\":10,\"tid\":10,\"call\":\"close\",\"fd\":7,\"ret\":0,\"injected\":false}\n", i * 100 + 50
        } }'; } >trace
    status=0
    if grep -q __asan_init "$SNAG"; then # which reserves terabytes
        "$SNAG" report trace >out 2>err || status=$?
    else
        (ulimit -v 40000; exec "$SNAG" report trace) >out 2>err || status=$?
    fi
    expect_status 0
    expect_has out 'of its 200000 connections 200000 were closed, after 40 ns on average'
}

test_of_a_real_run() {
    run "$SNAG" trace -o trace -e accept:error=EMFILE:when=1..3 --connect -- "$(program tiny)" 0
    run "$SNAG" report trace
    expect_status 0
    expect_match out '^ +1 +4 +3 +0  accept:error=EMFILE:when=1..3$'
    expect_match out ' s  socket AF_INET SOCK_STREAM\|SOCK_CLOEXEC, in listen_tcp$'
    expect_match out ' s  bind 127.0.0.1:0, in listen_tcp$'
    expect_match out ' s  accept: EMFILE, 3 times, injected, until [0-9.]+ s, in take_client$'
}

tests_main "$@"
