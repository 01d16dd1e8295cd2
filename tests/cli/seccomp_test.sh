#!/bin/bash
# The seccomp backend: what it reaches that preload does not, what it knows, and what happens to calls at each step.
. "${0%/*}/harness.sh"

TINY=$(program tiny) STATIC=$(program tiny_static) INTERRUPTED=$(program interrupted)
ECHO=(--send 'hi\n' --expect hi)
ON=(--backend seccomp)

# --- What it reaches ---

test_static_server_is_taken_by_itself() {
    run "$SNAG" run --summary sum.json -o trace -e accept:error=EMFILE:when=1..3 "${ECHO[@]}" -- "$STATIC" 0
    expect_status 0
    expect_lines err <<LINES
snag: $STATIC can't be reached: it is linked statically, so no library can be preloaded into it; taking the seccomp backend
tiny: accept: Too many open files
tiny: accept: Too many open files
tiny: accept: Too many open files
snag: ready: 127.0.0.1:*, pid *, after * ms
snag: rule 1, accept:error=EMFILE:when=1..3: matched 4, injected 3, at take_client
snag: verdict: served: 1 of 1 clients answered, * ms after ready; 3 faults injected
LINES
    jq -s . trace >all
    expect_json all '.[0].backend == "seccomp"'
    expect_json all '[.[] | select(.call == "accept")] | length == 4 and (map(.injected) == [true, true, true, false]) and
        .[0].errno == "EMFILE" and .[3].ret >= 3 and (.[3].peer | startswith("127.0.0.1:"))'
    expect_json all '[.[] | select(.call == "bind")][0] | .ret == null and .outcome == "unobserved" and .local == "127.0.0.1:0"'
    expect_json all '[.[] | select(.call == "listen")][0] | .ret == 0 and .backlog == 16 and .outcome == null'
    expect_json all '[.[] | select(.type == "site" and .function == "take_client")] | length == 1 and .[0].partial == null and
        (.[0].frames | map(.function) | .[0] == "take_client" and .[-1] == "_start")'
    run "$SNAG" report trace
    expect_status 0
}

# The stacks of a Go program are known by its own table, which strip leaves.
test_go_server() {
    echo '[{"id":"x","execute-command":"/bin/true"}]' >hooks
    local port
    port=$(free_port)
    run "$SNAG" run -e '%accept:error=EMFILE:stack="net/http.(\*Server).Serve":when=1..3' --http / -- webhook -hooks hooks -ip 127.0.0.1 -port "$port"
    expect_status 0
    expect_has err 'it is a Go program, which makes its system calls without libc; taking the seccomp backend'
    expect_match err '^snag: rule 1, .*: matched [0-9]+, injected 3, at internal/poll.accept$'
    expect_match err '^snag: verdict: served: '
    run "$SNAG" trace -k -e listen:error=EADDRINUSE --http / -- webhook -hooks hooks -ip 127.0.0.1 -port "$port"
    expect_status 1
    expect_match err '^snag: verdict: exited: .*1 fault injected$'
    grep -o '^ > [^ ]*' err | sed 's/+0x[0-9a-f]*)$//; s/.*(\([^()]*\|.*(.*\)$/\1/' >frames
    expect_match frames '^main\.main$'
    expect_equal 'the last frame' "$(tail -n 1 frames)" runtime.goexit
}

test_musl_server() {
    musl-gcc -static -o tiny_musl "$tests_root/tests/cli/servers/tiny.c"
    musl-gcc -o tiny_dynamic "$tests_root/tests/cli/servers/tiny.c"
    run "$SNAG" run -e accept:error=ECONNABORTED:caller=take_client:when=1 "${ECHO[@]}" -- ./tiny_musl 0
    expect_status 0
    expect_has err 'taking the seccomp backend'
    expect_match err '^snag: rule 1, .*: matched 2, injected 1, at take_client$'
    expect_match err '^snag: verdict: served: .*1 fault injected$'
    run "$SNAG" trace -k -e accept:error=ECONNABORTED:when=1 "${ECHO[@]}" -- ./tiny_dynamic 0
    expect_status 0
    expect_has err 'taking the seccomp backend'
    expect_match err '^snag: verdict: served: .*1 fault injected$'
    expect_lines err <<<$'...\naccept(3, NULL, NULL)*ECONNABORTED *\n > ... (who called that is not known)\n...'
}

# Without tables and names the innermost address is all that is sure, and is not taken for more.
test_stripped_musl_server() {
    musl-gcc -static -s -o stripped "$tests_root/tests/cli/servers/tiny.c"
    run "$SNAG" trace -k -e accept "${ECHO[@]}" -- ./stripped 0
    expect_status 0
    grep -A 2 '^accept(' err | head -n 3 >shown
    expect_lines shown <<<$'accept(3, NULL, NULL)*\n > *stripped() ?0x*?\n > ... (who called that is not known)'
    run "$SNAG" run -e trace=accept -o trace "${ECHO[@]}" -- ./stripped 0
    expect_status 0
    jq -s '[.[] | select(.type == "site" and (.frames | length) == 1)]' trace >sites
    expect_json sites 'length >= 1 and all(.partial == true)'
    run "$SNAG" report trace
    expect_match out '^  accept .* 0x[0-9a-f]+@stripped < \?, 0x[0-9a-f]+ of stripped$'
    expect_has out '  < ?: there, who called that is not known'
}

test_rust_server() {
    /usr/bin/rustc -O -C target-feature=+crt-static -C relocation-model=static -o rusty "$tests_root/tests/cli/servers/static.rs"
    run "$SNAG" run -e accept4:error=EMFILE:stack='static\:\:main':when=1..3 "${ECHO[@]}" -- ./rusty "$(free_port)"
    expect_status 0
    expect_has err "snag: ./rusty can't be reached: it is linked statically, so no library can be preloaded into it; taking the seccomp backend"
    expect_equal 'failed accepts' "$(grep -c 'static: accept: Too many open files' err)" 3
    expect_match err '^snag: verdict: served: .*3 faults injected$'
}

# A script's static server, whatever the script is.
test_what_the_server_starts() {
    run "$SNAG" run "${ON[@]}" -e accept:error=EMFILE:when=1 "${ECHO[@]}" -- sh -c "env -i '$STATIC' 0; exit 0"
    expect_status 0
    expect_has err 'matched 2, injected 1'
    expect_lacks err unreached
    run "$SNAG" run "${ON[@]}" -e accept:error=EMFILE:when=1 "${ECHO[@]}" -- "$STATIC" daemon 0
    expect_status 0
    expect_has err 'matched 2, injected 1'
}

# As root a program keeps its user under the filter; as nobody it would not, and is refused.
test_setuid_program() {
    [ "$(id -u)" = 0 ] || { echo 'not root: seen on passwd alone'; }
    if [ "$(id -u)" = 0 ]; then
        chmod 755 .
        cp "$TINY" other
        chown nobody other
        chmod u+s other
        run "$SNAG" run -e accept:error=EMFILE:when=1 "${ECHO[@]}" -- ./other 0
        expect_status 0
        expect_has err 'it runs as another user (setuid), so the loader ignores LD_PRELOAD; taking the seccomp backend'
        expect_has err 'matched 2, injected 1'
        run setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAG" run "${ON[@]}" -- /usr/bin/passwd
    else
        run "$SNAG" run "${ON[@]}" -- /usr/bin/passwd
    fi
    expect_status 125
    expect_lines err <<<"snag: /usr/bin/passwd can't be reached: it runs as another user (setuid), which a filter would keep it from (no_new_privs); it needs CAP_SYS_ADMIN, so run snag as root"
}

test_ordinary_user() {
    [ "$(id -u)" = 0 ] || { echo 'all tests here are run as an ordinary user'; return 0; }
    reachable "$STATIC"
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAG" run "${ON[@]}" -e accept:error=EMFILE:when=1 "${ECHO[@]}" -- ./tiny_static 0
    expect_status 0
    expect_has err 'matched 2, injected 1'
    run setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Ur "$SNAG" run "${ON[@]}" -e accept:error=EMFILE:when=1 "${ECHO[@]}" -- ./tiny_static 0
    grep -q 'unshare failed' err && { echo 'no user namespaces here'; return 0; }
    expect_status 0
    expect_has err 'matched 2, injected 1'
}

test_io_uring_is_refused_by_its_own_instruction() {
    run "$SNAG" run "${ON[@]}" -e io_uring_setup:error=ENOSYS -- "$(program past)" inline 0
    expect_status 77
    expect_has err 'past: io_uring_setup: Function not implemented'
    expect_has err 'matched 1, injected 1'
}

test_foreign_calls_are_refused() {
    [ "$(uname -m)" = x86_64 ] || return 0
    run "$SNAG" run "${ON[@]}" -e listen:error=EADDRINUSE -- "$(program foreign)"
    expect_status 3
    expect_lines out <<LINES
32-bit listen: -38
x32 listen: -38
LINES
    expect_match err '^snag: [0-9]+ \(foreign\) made a 32-bit system call: they are refused with ENOSYS'
}

test_what_cant_be_done_is_said() {
    run "$SNAG" run "${ON[@]}" -e close:error=EIO -- "$TINY" 0
    expect_status 125
    expect_lines err <<<"snag: rule 1, close:error=EIO: the seccomp backend can't do that: the call does its work all the same and then fails, and from outside its result can't be changed"
    run "$SNAG" run "${ON[@]}" -e socket:delay_exit=1ms -- "$TINY" 0
    expect_status 125
    expect_has err "rule 1, socket:delay_exit=1ms: the seccomp backend can't do that: delay_exit= on a call that the kernel makes"
    run "$SNAG" run "${ON[@]}" -- "$SNAG" run "${ON[@]}" -- true
    expect_status 125
}

# A thread has one tracer: what it is, is said, and a rule that needs call sites ends the run.
test_server_that_is_traced() {
    command -v strace >/dev/null || { echo 'no strace here'; return 0; }
    strace -o /dev/null true || { echo 'strace may not trace here'; return 0; }
    run "$SNAG" trace -k "${ON[@]}" -e accept "${ECHO[@]}" -- strace -f -qq -o /dev/null "$TINY" 0
    expect_status 0
    expect_match err '^snag: calls without call sites: [0-9]+ \(tiny\): strace \([0-9]+\) traces it, and it can have one tracer$'
    expect_match err '^snag: [0-9]+ calls without a call site$'
    run "$SNAG" run "${ON[@]}" -e accept:error=EMFILE:caller=take_client "${ECHO[@]}" -- strace -f -qq -o /dev/null "$TINY" 0
    expect_status 125
    expect_match err '^snag: a rule needs call sites, and there are none: [0-9]+ \(tiny\): strace \([0-9]+\) traces it'
}

# No call is interrupted when the registers are taken, and nobody is told.
test_walks_are_not_noticed() {
    local quiet
    quiet=$(program quiet)
    run "$SNAG" run "${ON[@]}" -o trace --sites -- "$quiet"
    expect_status 0
    expect_lines out <<<quiet
    jq -s '[.[] | select(.type == "call")]' trace >calls
    expect_json calls 'all(.site != null) and ([.[] | select(.call == "accept").site] | unique | length) == 6'
}

# A rule that comes later can name what the filter stops, and nothing else.
test_rules_that_are_added() {
    start "$SNAG" run -v "${ON[@]}" --name "late-$$" -e accept:error=EMFILE:when=1000 -- "$TINY" 0
    wait_for 10 grep -q 'snag: ready' "$pid.err"
    local port
    port=$(sed -n 's/^snag: ready: 127.0.0.1:\([0-9]*\).*/\1/p' "$pid.err")
    run "$SNAG" ctl "late-$$" add accept:error=ENFILE:when=1 %accept:error=EMFILE
    expect_status 125
    expect_lines err <<<"snag: %accept:error=EMFILE: the filter of this session lets a call pass that this rule needs, and can't be changed; start the session with -e trace=accept4"
    run "$SNAG" ctl "late-$$" add accept:error=ENFILE:per=fd
    expect_has err 'start the session with -e trace=close'
    run "$SNAG" ctl "late-$$" add accept:socklen=0:delay_enter=1ms listen:delay_exit=1s bind:delay_exit=1s
    expect_lines err <<<"snag: bind:delay_exit=1s: the seccomp backend can't do that: delay_exit= on a call that the kernel makes: from outside its end can't be seen"
    run "$SNAG" ctl "late-$$" list
    expect_lacks out accept:error=ENFILE
    run "$SNAG" ctl "late-$$" add accept:error=ENFILE:when=1
    expect_status 0
    serves || fail 'not served'
    stop "$pid"
    expect_has "$pid.err" 'rule 2, accept:error=ENFILE:when=1: matched 2, injected 1'
}

# What it can't know it does not claim.
test_trace() {
    run "$SNAG" trace "${ON[@]}" -q -e accept,listen,bind,poll -e accept:error=EMFILE:when=1 "${ECHO[@]}" -- "$TINY" 0
    expect_status 0
    # How often it polls for the client's bytes is a matter of time.
    grep -v -e '^poll(.*{fd=4' -e '^tiny: ' err >some
    expect_lines some <<'LINES'
bind(3, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = ?
listen(3, 16)                           = 0
poll([[]{fd=3, events=POLLIN}], 1, -1)    = ?
accept(3, NULL, NULL)                   = -1 EMFILE (Too many open files) (INJECTED)
poll([[]{fd=3, events=POLLIN}], 1, -1)    = ?
accept(3, NULL, NULL)                   = 4
LINES
}

# --- The same as preload ---

# What both say of the same server under the same plan; numbers that are times or ids are taken out.
said_by() {
    run "$SNAG" run --backend "$1" -e "$2" --client-timeout 1s "${ECHO[@]}" -- "$TINY" "${@:3}" 0
    { echo "status $status"; grep -E '^(snag: (rule|verdict)|tiny:)' err | sed -E 's/[0-9]+ ms/N ms/g; s/[0-9]+ of [0-9]+ clients/N clients/'; } >"said.$1"
}

test_verdicts_are_the_same() {
    local rule option
    for rule in accept:error=EMFILE:when=1..3 accept:error=ECONNABORTED:when=1 accept:error=EFAULT:when=1 accept:retval=77:when=1 \
        accept:fdmin=200:when=1 accept:delay_enter=20ms:when=1 accept:delay_exit=20ms:when=1 listen:backlog=1 \
        listen:delay_exit=20ms listen:error=EADDRINUSE bind:error=EADDRINUSE socket:error=EMFILE setsockopt:error=ENOPROTOOPT \
        accept:error=EMFILE:type=inet:when=1 accept:error=EMFILE:pending:when=1 accept:error=EMFILE:comm=tiny:fd=3:when=1 \
        accept:error=EMFILE:per=fd:when=1 accept:error=EMFILE:per=process:when=1 accept:error=EMFILE:prob=0 accept:error=EMFILE:type=unix; do
        said_by preload "$rule"
        said_by seccomp "$rule"
        diff said.preload said.seccomp || fail "the backends differ under $rule"
    done
    for option in quits dies drops=1 blocks; do
        said_by preload accept:error=ENOBUFS:when=1 $option
        said_by seccomp accept:error=ENOBUFS:when=1 $option
        diff said.preload said.seccomp || fail "the backends differ with $option"
    done
}

test_explore_says_the_same() {
    local option backend
    for option in blocks quits; do
        for backend in preload seccomp; do
            run "$SNAG" explore --backend $backend --modes once "${ECHO[@]}" -o $backend.$option -- "$TINY" $option 0
            jq -c '.cases[] | [.id, .site, .verdict]' $backend.$option/summary.json | sort >$backend.cases
        done
        [ -s preload.cases ] || fail 'no cases'
        diff preload.cases seccomp.cases || fail "the backends differ with $option"
    done
    run "$SNAG" explore --modes once "${ECHO[@]}" -o static -- "$STATIC" 0
    expect_status 0
    expect_json static/summary.json '[.cases[].verdict] | index("served") != null'
}

# What is found under one backend is tried again under it, unless one says otherwise.
test_replay() {
    local case=kept/cases/accept-emfile-once@take_client
    run "$SNAG" explore "${ON[@]}" --faults EMFILE --sites accept --modes once "${ECHO[@]}" -o kept -- "$TINY" 0
    expect_json $case/case.json '.options | index("--backend=seccomp") != null'
    run "$SNAG" replay -o again $case
    expect_status 0
    jq -s '.[0]' again/trace.jsonl >first
    expect_json first '.backend == "seccomp"'
    run "$SNAG" replay --backend preload -o other $case
    expect_status 0
    jq -s '.[0]' other/trace.jsonl >first
    expect_json first '.backend == "preload"'
    run "$SNAG" replay --backend none $case
    expect_status 125
    expect_lines err <<<'snag: --backend none: expected preload, seccomp or auto'
}

# --- A call at each of its steps ---

serves() {
    [ "$(timeout "${1:-10}" bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"; echo hello >&3; head -n 1 <&3' "$port" 2>/dev/null)" = hello ]
}

# Starts the server OPTION... under RULE; its pid in $server.
start_interrupted() {
    port=$(free_port)
    start "$SNAG" run "${ON[@]}" -v -e "$1" -o trace -- "$INTERRUPTED" "${@:2}" "$port"
    wait_for 10 grep -q 'started .* as process' "$pid.err"
    server=$(sed -nE 's/^snag: started .* as process ([0-9]+)$/\1/p' "$pid.err")
    wait_for 10 listens
}

listens() {
    grep -qi "^ *[0-9]*: 0100007F:$(printf %04X "$port") .* 0A " /proc/net/tcp
}

# A connection that nobody has accepted yet, or that the backend holds; its answer goes to the file `answer`.
connect_in_the_background() {
    start timeout 20 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"; echo hello >&3; head -n 1 <&3' "$port"
    client=$pid
}

answered() {
    grep -q hello "$client.out"
}

# Whether the kernel has nobody in the queue of the port any more, with a connection made.
is_accepted() {
    grep -qi "^ *[0-9]*: 0100007F:$(printf %04X "$port") 0100007F:[0-9A-F]* 01 " /proc/net/tcp &&
        ! grep -qi "^ *[0-9]*: 0100007F:$(printf %04X "$port") .* 0A 00000000:0000000[1-9]" /proc/net/tcp
}

# The connection is in our hands when the signal comes: it is not lost, whatever the server does then.
test_signal_behind_the_accept() {
    local options snag
    for options in '' plain polls 'plain polls'; do
        # shellcheck disable=SC2086 # words
        start_interrupted accept4:delay_exit=5s:when=1 $options
        snag=$pid
        connect_in_the_background
        wait_for 10 is_accepted
        kill -USR1 "$server"
        wait_for 5 grep -q '^signal$' "$snag.err"
        case $options in
        *plain*)
            wait_for 4 answered
            expect_match "$snag.err" '^interrupted: accept: Interrupted system call$'
            ;;
        *)
            wait_for 15 answered
            expect_lacks "$snag.err" 'Interrupted'
            ;;
        esac
        serves || fail "it does not serve the next one ($options)"
        expect_equal "clients accepted ($options)" "$(grep -c '^accepted' "$snag.err")" 2
        stop "$snag"
    done
}

# Before it: the delay goes on, or the server tries again.
test_signal_before_the_accept() {
    start_interrupted accept4:delay_enter=500ms:when=1
    local snag=$pid
    kill -USR1 "$server"
    wait_for 5 grep -q '^signal$' "$snag.err"
    serves || fail 'not served'
    stop "$snag"
    expect_has "$snag.err" 'injected 1'
    expect_lacks "$snag.err" Interrupted
}

# While it waits for a connection.
test_signal_in_a_blocking_accept() {
    start_interrupted accept4:error=EMFILE:when=100
    local snag=$pid
    kill -USR1 "$server"
    wait_for 5 grep -q '^signal$' "$snag.err"
    serves || fail 'not served'
    stop "$snag"
    expect_lacks "$snag.err" Interrupted
    start_interrupted accept4:error=EMFILE:when=100 plain
    snag=$pid
    kill -USR1 "$server"
    wait_for 5 grep -q 'Interrupted system call' "$snag.err"
    serves || fail 'not served'
    stop "$snag"
}

test_receive_timeout() {
    start_interrupted accept4:error=EMFILE:when=100 times=50
    local snag=$pid
    wait_for 5 grep -q 'accept: Resource temporarily unavailable' "$snag.err"
    serves || fail 'not served'
    stop "$snag"
}

# Its own limit comes before the queue is touched.
test_own_limit() {
    start_interrupted accept4:error=ECONNABORTED:when=1000 polls files=4
    local snag=$pid
    connect_in_the_background
    wait_for 5 grep -q 'accept: Too many open files' "$snag.err"
    is_accepted && fail 'the connection left the queue'
    stop "$snag"
    expect_lacks "$snag.err" accepted
}

# While one accept is held up, another thread accepts.
test_delay_holds_up_one_call() {
    start_interrupted accept4:delay_exit=5s:when=1 threads
    local snag=$pid
    connect_in_the_background
    wait_for 10 is_accepted
    serves || fail 'the other thread does not serve'
    answered && fail 'the delay did not hold'
    wait_for 10 answered
    stop "$snag"
}

# --- Ends ---

# The port is free as soon as a killed server is gone, though its accept was waiting in our hands.
test_killed_in_an_accept() {
    local i
    for i in 1 2 3 4 5; do
        start_interrupted accept4:error=EMFILE:when=100
        local snag=$pid
        kill -KILL "$server"
        wait_for 10 ended "$snag"
        listens && fail "the port is still taken ($i)"
        stop "$snag"
        expect_status 137
    done
}

test_server_killed_with_a_connection_in_hand() {
    start_interrupted accept4:delay_exit=30s:when=1 threads
    local snag=$pid
    connect_in_the_background
    wait_for 10 is_accepted
    kill -KILL "$server"
    wait_for 10 ended "$snag"
    listens && fail 'the port is still taken'
    stop "$snag"
}

# One thread alone goes, at each step of its accept: what it leaves is the other thread's.
test_thread_cancelled_in_an_accept() {
    local rule
    for rule in accept4:error=EMFILE:when=100 accept4:delay_enter=30s:when=1 accept4:delay_exit=30s:when=1; do
        start_interrupted $rule cancels
        local snag=$pid
        case $rule in
        *delay_exit*)
            connect_in_the_background
            wait_for 10 is_accepted
            ;;
        esac
        kill -USR2 "$server"
        wait_for 10 grep -q '^cancelled$' "$snag.err"
        serves || fail "it does not serve ($rule)"
        case $rule in
        *delay_exit*) wait_for 10 answered ;;
        esac
        stop "$snag"
    done
}

# Any session that begins, that of another test perhaps, ends what the killed snag $1 left and takes its board away.
is_taken_away() {
    [ -z "$(find /dev/shm -maxdepth 1 -name "snag.$1.*")" ]
}

# Whether the server serves without snag $1.  1: another session has ended it before that could be seen.
serves_without() {
    serves && serves && return 0
    wait_for 5 is_taken_away "$1"
    return 1
}

# Starts the server with the options behind RULE and kills snag; with delay_exit=, once a client is accepted.
outlives() {
    local snag rule=$1
    shift
    port=$(free_port)
    start "$SNAG" run "${ON[@]}" -e "$rule" -- "$STATIC" "$@" daemon "$port"
    snag=$pid
    wait_for 10 listens
    case $rule in
    accept:error=EMFILE:*) serves 1 && fail 'it is under a fault' ;;
    *delay_exit*)
        connect_in_the_background
        wait_for 10 is_accepted
        ;;
    esac
    kill -KILL "$snag"
    wait_for 10 ended "$snag"
    serves_without "$snag"
}

# A server that outlives snag goes on, and its calls are the kernel's again; the next session ends it.  That happens while
# its accept fails, waits, is delayed before, or has a connection already, which is lost with snag.
test_server_outlives_snag() {
    local tries=0 rule
    until outlives accept:error=EMFILE:when=1..1000000; do
        [ $((++tries)) -lt 10 ] || fail 'other sessions are always quicker'
    done
    run "$SNAG" explore --sites listen --faults EADDRINUSE --modes once --connect -- "$TINY" 0
    wait_for 5 eval '! listens'
    for rule in accept:error=ENOBUFS:when=100 accept:delay_enter=60s:when=1 accept:delay_exit=60s:when=1; do
        until outlives $rule blocks; do
            [ $((++tries)) -lt 10 ] || fail "other sessions are always quicker ($rule)"
        done
        run "$SNAG" run -- true
        wait_for 5 eval '! listens'
    done
}

# Whether the server waits in an accept (43) that snag has in hand.
is_asked() {
    grep -q '^43 ' "/proc/$(pgrep -f "^$STATIC daemon $port")/syscall"
}

is_answered_or_taken_away() {
    answered || is_taken_away "$1"
}

# At a moment in which a call is in snag's hands.  1: another session has ended the server before it could answer.
answers_without() {
    local snag
    port=$(free_port)
    start "$SNAG" run "${ON[@]}" -e accept:delay_enter=60s -- "$STATIC" daemon "$port"
    snag=$pid
    wait_for 10 listens
    connect_in_the_background
    wait_for 10 is_asked
    kill -KILL "$snag"
    wait_for 5 is_answered_or_taken_away "$snag"
    answered
}

test_snag_killed_with_a_call_in_hand() {
    local tries=0
    until answers_without; do
        [ $((++tries)) -lt 10 ] || fail 'other sessions are always quicker'
    done
    run "$SNAG" run -- true
    wait_for 5 eval '! listens'
}

tests_main "$@"
