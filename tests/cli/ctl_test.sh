#!/bin/bash
# snag ctl: the plan of a running server is looked at and changed, by its user alone, and at once for each call after it.
. "${0%/*}/harness.sh"

TINY=$(program tiny)
# A filter stops what was named when it was installed, and no rule that comes later can name more.
traced=()
[ "${SNAG_BACKEND-}" != seccomp ] || traced=(-e 'trace=accept,listen,close')

# Starts snag with a tiny server, as session $called, and waits until that is ready: on $port, as process $pid.
session() {
    start "$SNAG" run -v --name "$called" ${traced[@]+"${traced[@]}"} "$@" -- "$TINY" 0
    wait_for 20 grep -q 'snag: ready' "$pid.err"
    port=$(sed -n 's/^snag: ready: 127.0.0.1:\([0-9]*\).*/\1/p' "$pid.err" | head -n 1)
}
called=ctl-test-$$
port=""

ctl() {
    run "$SNAG" ctl "$called" "$@"
}

# A request to the server; tiny says on stderr when accept fails, and accepts again.
ask() {
    curl -s -o page --max-time 10 "http://127.0.0.1:$port/"
}

# The count $2 of rule $1.
count_of() {
    "$SNAG" ctl "$called" stats --json | jq ".rules[] | select(.rule == $1) | .$2"
}

nothing_left() {
    [ -z "$(find /dev/shm -maxdepth 1 -name "snag.$1.*")" ] || fail 'something is still in /dev/shm'
}

test_rules_come_and_go() {
    session -e accept:error=EMFILE:when=1:name=first
    ctl list
    expect_status 0
    expect_lines $out <<<'RULE  TEXT
   1  accept:error=EMFILE:when=1:name=first'
    ask
    ctl add accept:error=ENFILE:when=2 listen:error=EADDRINUSE
    expect_status 0
    expect_lines $out <<<'2
3'
    ask
    ask
    expect_equal 'what rule 1 matched' "$(count_of 1 matched)" 5
    expect_equal 'what rule 2 matched' "$(count_of 2 matched)" 3
    expect_equal 'what rule 2 injected' "$(count_of 2 injected)" 1
    ctl del first 3
    expect_status 0
    expect_empty $out
    ctl list --json
    expect_json $out 'map(.rule) == [2]'
    ctl del --all
    expect_status 0
    ctl
    expect_lines $out <<<'no rules'
    ask
    stop "$pid"
    expect_has "$pid.err" 'rule 1 (deleted), first: matched 5, injected 1'
    expect_has "$pid.err" 'rule 2 (deleted), accept:error=ENFILE:when=2: matched 3, injected 1'
    expect_has "$pid.err" 'rule 3 (deleted), listen:error=EADDRINUSE: never matched'
    nothing_left "$pid"
}

# From the first call after the command is back, to the last before the next one.
test_a_change_holds_as_soon_as_the_command_is_back() {
    local i
    session
    for i in 1 2 3 4 5 6 7 8; do
        ctl add accept:error=EMFILE:when=1
        expect_status 0
        ask
        expect_equal "what rule $i injected" "$(count_of "$i" injected)" 1
        ctl del "$i"
        expect_status 0
        ask
    done
    stop "$pid"
    expect_equal 'failed accepts' "$(grep -c 'Too many open files' "$pid.err")" 8
}

test_a_reset_counts_from_the_start() {
    session -e accept:error=EMFILE:when=1 -e accept:error=ENFILE:per=process:when=3
    ask
    ctl reset
    expect_status 0
    expect_equal 'what rule 1 matched' "$(count_of 1 matched)" 0
    ask
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    expect_equal 'what rule 2 matched' "$(count_of 2 matched)" 2
    ctl reset 2
    expect_equal 'what rule 1 matched' "$(count_of 1 matched)" 2
    expect_equal 'what rule 2 matched' "$(count_of 2 matched)" 0
    stop "$pid"
    expect_has "$pid.err" 'rule 1, accept:error=EMFILE:when=1: matched 4, injected 2'
}

test_a_pause_holds_everything() {
    session -e accept:error=EMFILE:when=1
    ctl pause
    expect_status 0
    ask
    expect_equal 'what rule 1 matched' "$(count_of 1 matched)" 0
    ctl list
    expect_has $out paused
    ctl resume
    ask
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    ctl stats
    expect_lacks $out paused
    stop "$pid"
}

# Of a rule that is added the window begins then: ready was long ago.
test_windows_begin_with_the_rule() {
    session
    ctl add accept:error=EMFILE:when=1:for=100s accept:error=ENFILE:after=100s
    ask
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    expect_equal 'what rule 2 matched' "$(count_of 2 matched)" 0
    stop "$pid"
}

# What the calls need besides the rule: memory for per=fd, descriptors that are freed.
test_rules_that_need_more_can_be_added() {
    session
    ctl add accept:error=EMFILE:per=fd:when=1
    ask
    ctl add accept:error=EMFILE:per=fd:when=1
    ask
    ctl del 1
    ctl add accept:error=EMFILE:per=fd:when=2
    ask
    expect_equal 'what rule 3 injected' "$(count_of 3 injected)" 0
    ask
    expect_equal 'what rule 2 injected' "$(count_of 2 injected)" 1
    expect_equal 'what rule 3 injected' "$(count_of 3 injected)" 1
    stop "$pid"
    expect_has "$pid.err" 'rule 1 (deleted), accept:error=EMFILE:per=fd:when=1: matched 4, injected 1'
}

test_mistakes_change_nothing() {
    session -e accept:error=EMFILE:when=1
    ctl add accept:error=ENFILE accept4:error=EMFIL
    expect_status 125
    expect_empty $out
    expect_lines $err <<<"snag: accept4:error=EMFIL
                    ^~~~~
snag: unknown errno 'EMFIL'; did you mean EMFILE?"
    ctl add trace=accept
    expect_status 125
    expect_has $err 'expected a rule'
    ctl del 1 7
    expect_status 125
    expect_lines $err <<<'snag: no rule 7; in force are: 1'
    ctl del
    expect_status 125
    expect_has $err 'del needs a rule'
    ctl add
    expect_status 125
    ctl list 1
    expect_status 125
    expect_has $err "list takes no '1'"
    ctl lst
    expect_status 125
    expect_has $err 'did you mean list?'
    ctl --jsn list
    expect_status 125
    expect_has $err 'did you mean --json?'
    ctl add "accept:error=EMFILE:name=$(printf 'x%.0s' {1..70000})"
    expect_status 125
    expect_has $err 'too long'
    ctl list --json
    expect_json $out 'map(.text) == ["accept:error=EMFILE:when=1"]'
    stop "$pid"
}

test_sessions_are_listed() {
    session -e accept:error=EMFILE
    run "$SNAG" ctl
    expect_status 0
    expect_match $out "^$pid +$called +snag run: .*tiny 0$"
    run "$SNAG" ctl --json
    expect_json $out "map(select(.pid == $pid)) == [.[] | select(.name == \"$called\" and .kind == \"run\" and .paused == false)]"
    run "$SNAG" ctl "$pid" list
    expect_status 0
    run "$SNAG" ctl no-such-session list
    expect_status 125
    expect_has $err 'no session no-such-session; there are:'
    expect_has $err "  $pid $called: run of $TINY"
    run "$SNAG" run --name "$called" -- true
    expect_status 125
    expect_has $err "--name $called: process $pid has a session of that name"
    stop "$pid"
}

test_names_that_mislead_are_refused() {
    local bad
    for bad in '' 12 list -x a/b 'a b' "$(printf 'x%.0s' {1..65})"; do
        run "$SNAG" run --name="$bad" -- true
        expect_status 125
        expect_match $err '^snag: --name .*: (expected|this is)'
    done
}

# Nobody else may: neither over the socket, which they can't get to, nor over one that is handed to them.
test_other_users_are_refused() {
    [ "$(id -u)" = 0 ] || return 0
    local folder
    reachable "$TINY"
    session -e accept:error=EMFILE:when=1
    folder=$(echo /dev/shm/snag."$pid".*)
    expect_equal 'mode of the folder' "$(stat -c %a "$folder/control")" 700
    run setpriv --reuid nobody --regid nogroup --clear-groups "$SNAG" ctl "$called" del 1
    expect_status 125
    expect_has $err "no session $called"
    chmod 755 "$folder/control"
    chmod 666 "$folder/control/socket"
    run setpriv --reuid nobody --regid nogroup --clear-groups perl -MIO::Socket::UNIX -e '
        my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!\n";
        print $s "{\"command\":\"del\",\"rules\":[\"1\"]}\n"; print <$s>' "$folder/control/socket"
    expect_empty $out
    ctl list
    expect_has $out 'accept:error=EMFILE'
    stop "$pid"
    # ... but root may control what others have started.
    start setpriv --reuid nobody --regid nogroup --clear-groups "$SNAG" run -v --name "$called" \
        ${traced[@]+"${traced[@]}"} -- "./${TINY##*/}" 0
    wait_for 20 grep -q 'snag: ready' "$pid.err"
    ctl add accept:error=EMFILE
    expect_status 0
    run "$SNAG" ctl
    expect_match $out "$called +\(of nobody\) snag run"
    stop "$pid"
}

# Sends what is on stdin to the control socket, and prints what comes back, if not told to leave before that.
talk() {
    perl -MIO::Socket::UNIX -e '
        $SIG{PIPE} = "IGNORE"; $/ = undef;
        my $s = IO::Socket::UNIX->new(Peer => glob("/dev/shm/snag.$ARGV[0].*/control/socket")) or die "connect: $!\n";
        print $s <STDIN>; $s->flush; print <$s> unless $ARGV[1]' "$pid" "$@"
}

test_rubbish_disturbs_nothing() {
    session -e accept:error=EMFILE:when=1
    expect_equal answer "$(printf 'hello\n' | talk)" \
        '{"ok":false,"error":"snag: not a request: expected a JSON object in one line\n"}'
    expect_equal answer "$(printf '[1]\n' | talk)" \
        '{"ok":false,"error":"snag: not a request: expected a JSON object in one line\n"}'
    expect_equal answer "$(printf '{"command":3}\n' | talk)" \
        '{"ok":false,"error":"snag: not a request: expected a \"command\"\n"}'
    expect_equal answer "$(printf '{"command":"fly"}\n' | talk | jq .ok)" false
    expect_equal answer "$(printf '{"command":"add","rules":"accept:error=EMFILE"}\n' | talk | jq .ok)" false
    expect_equal answer "$(printf '{"command":"add","rules":[1]}\n' | talk | jq .ok)" false
    expect_equal answer "$(printf '\0\377\n' | talk | jq .ok)" false
    expect_equal answer "$(head -c 70000 /dev/zero | tr '\0' x | talk | jq -r .error)" \
        'snag: the request is too long: 65536 bytes are the most'
    ctl list
    expect_status 0
    expect_has $out 'accept:error=EMFILE'
    stop "$pid"
}

# Clients that say nothing, or half of something, take places; who comes then has to wait until these are let go.
test_clients_that_hang_are_let_go() {
    local i silent
    session -e accept:error=EMFILE:when=1
    # shellcheck disable=SC2016
    start perl -MIO::Socket::UNIX -e '
        my ($path) = glob("/dev/shm/snag.$ARGV[0].*/control/socket");
        my @all = map { my $s = IO::Socket::UNIX->new(Peer => $path) or die "connect: $!\n";
                        print $s "{\"command\":" if $_ % 2; $s->flush; $s } 1 .. 100;
        print "there\n"; $| = 1; print ""; sleep 60' "$pid"
    silent=$pid pid=${started%" $pid"}
    pid=${pid##* }
    wait_for 20 grep -q there "$silent.out"
    ask
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    for i in 1 2 3; do
        ctl list
        expect_status 0
    done
    stop "$silent"
    stop "$pid"
}

# One whose snag is stopped: no command waits for ever, and what nobody waits for any more is not done when it goes on.
test_a_session_that_is_stopped() {
    local stopped
    session
    stopped=$pid
    kill -STOP "$stopped"
    printf '{"command":"add","rules":["accept:error=EMFILE:name=given_up"]}\n' | talk only_ask
    # shellcheck disable=SC2016
    start perl -MSocket=:DEFAULT,SOCK_NONBLOCK -e '
        my ($path) = glob("/dev/shm/snag.$ARGV[0].*/control/socket");
        my @all;
        do { socket($all[@all], AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) or die "socket: $!\n" }
            while connect($all[-1], pack_sockaddr_un($path));
        print $!{EAGAIN} ? "full\n" : "connect: $!\n"; $| = 1; print ""; sleep 60' "$stopped"
    wait_for 20 grep -q full "$pid.out"
    ctl add accept:error=EMFILE:name=no_room
    expect_status 125
    expect_lines $err <<<"snag: session $stopped: it does not answer"
    stop "$pid"
    kill -CONT "$stopped"
    ctl list
    expect_lines $out <<<'no rules'
    stop "$stopped"
}

test_many_clients_at_once() {
    local i p=()
    session
    for i in {1..20}; do
        "$SNAG" ctl "$called" add "accept:error=EMFILE:when=1000:name=n$i" >"n$i" &
        p+=($!)
    done
    wait "${p[@]}"
    expect_equal 'different numbers' "$(cat n[0-9]* | sort -n | uniq | tr '\n' ' ')" "$(echo {1..20} '')"
    ctl list --json
    expect_json $out '[.[].name] | sort == ([range(1; 21)] | map("n\(.)") | sort)'
    stop "$pid"
}

# Rules that ask for call sites, added to a server that runs.  The session has sites, or says how it gets them.
test_rules_with_call_sites_can_be_added() {
    session --sites
    ctl add accept:error=EMFILE:stack=main:when=1 'accept:error=ENFILE:caller=no_such_place' accept:error=ENFILE:per=site:when=2
    expect_status 0
    expect_lines $out <<<$'1\n2\n3'
    expect_match $err '^snag: rule 2 matches nothing yet: caller=no_such_place: no function of that name in '
    [ "$(wc -l <$err)" = 1 ] || { show $err; fail 'more notes than one'; }
    ask
    expect_equal 'what rule 1 injected' "$(count_of 1 injected)" 1
    expect_equal 'what rule 2 matched' "$(count_of 2 matched)" 0
    expect_equal 'what rule 3 injected' "$(count_of 3 injected)" 1
    # A site's own ordinal begins again, too.
    ask
    expect_equal 'what rule 3 injected' "$(count_of 3 injected)" 1
    ctl reset 3
    ask
    ask
    expect_equal 'what rule 3 injected' "$(count_of 3 injected)" 1
    # A name that is close is said; one that was asked for before is the same pattern.
    ctl add accept:error=EMFILE:stack=mian:times=1
    expect_match $err 'rule 4 matches nothing yet: stack=mian: .*; did you mean main\?$'
    ctl del 1
    ctl add accept:error=EMFILE:stack=main:times=1
    expect_empty $err
    ask
    expect_equal 'what rule 5 injected' "$(count_of 5 injected)" 1
    expect_equal 'what rule 4 matched' "$(count_of 4 matched)" 0
    # Another function than the first that was asked for.
    ctl add accept:error=EMFILE:caller=take_client:times=1 accept:error=EMFILE:stack=take_client:times=1
    ask
    expect_equal 'what rule 6 injected' "$(count_of 6 injected)" 1
    expect_equal 'what rule 7 injected' "$(count_of 7 injected)" 1
    stop "$pid"
    expect_match "$pid.err" 'rule 2, accept:error=ENFILE:caller=no_such_place: never matched'
}

test_rules_without_call_sites_are_refused() {
    local rule
    session -e accept:error=EMFILE:when=1
    for rule in stack=main caller=main per=site site=0123456789abcdef; do
        ctl add "accept:error=EMFILE:$rule"
        expect_status 125
        expect_empty $out
        expect_lines $err <<<"snag: accept:error=EMFILE:$rule: this session has no call sites, which caller=, stack=, site= and per=site need: start it with --sites"
    done
    ctl list --json
    expect_json $out 'map(.rule) == [1]'
    stop "$pid"
}

# Names are counted for the whole session, each once; what is one too many changes nothing.
test_there_are_only_so_many_functions() {
    local max i rules=()
    max=$(sed -n 's/^ *PATTERN_MAX = \([0-9]*\),.*/\1/p' "$tests_root/inject/engine/stack.h")
    session --sites
    for ((i = 1; i <= max; i++)); do
        rules+=("accept:error=EMFILE:stack=f$i")
    done
    for ((i = 0; i < max; i += 32)); do
        ctl add "${rules[@]:i:32}"
        expect_status 0
        ctl del --all
    done
    ctl add accept:error=EMFILE:stack=main:when=1
    expect_status 125
    expect_has $err "may name $max functions in caller= and stack= in all"
    ctl add accept:error=EMFILE:stack=f1
    expect_status 0
    ctl list --json
    expect_json $out 'map(.text) == ["accept:error=EMFILE:stack=f1"]'
    stop "$pid"
}

# A trace says when which rules were in force.
test_a_trace_shows_the_changes() {
    session -e accept:error=EMFILE:when=1 -o trace.jsonl
    ask
    ctl add accept:error=ENFILE:when=1..2
    ask
    ctl del 2
    ask
    ctl pause
    ctl resume
    ctl reset 1
    stop "$pid"
    jq -s 'map(select(.type == "plan")) | map([.change, [.rules[].rule]])' trace.jsonl >changes
    expect_json changes '. == [["add", [2]], ["del", [2]], ["pause", []], ["resume", []], ["reset", [1]]]'
    jq -s '{add: (map(select(.change == "add"))[0].t_ns), del: (map(select(.change == "del"))[0].t_ns),
            calls: map(select(.rule == 2))}' trace.jsonl >rule2
    expect_json rule2 '(.calls | length) == 2 and (. as $all | .calls | all(.t_ns > $all.add and .t_ns < $all.del))'
    jq -s '.[-1]' trace.jsonl >summary
    expect_json summary '.rules[1].deleted and .rules[1].injected == 2 and .injected == 3'
    run "$SNAG" report trace.jsonl
    expect_status 0
    expect_match $out '^ +2 +[0-9]+ +2 +0  accept:error=ENFILE:when=1..2 \(deleted\)$'
    expect_match $out '^  after [0-9.]+ m?s: add 2$'
    expect_match $out '^  after [0-9.]+ m?s: pause$'
    run "$SNAG" report --json trace.jsonl
    expect_json $out '.plan_changes | map(.change) == ["add", "del", "pause", "resume", "reset"]'
    # ... also of one that was not finished.
    jq -c 'select(.type == "plan" and .change == "add") | .rules = [{}]' trace.jsonl >bad
    { head -n 1 trace.jsonl; cat bad; } >broken.jsonl
    run "$SNAG" report broken.jsonl
    expect_status 125
    expect_has $err 'broken.jsonl:2: "rule" is missing'
}

# Any other snag that looks for sessions may be the one who removes it, and say so: then it is tried again.
is_not_listed() {
    run "$SNAG" ctl
    ! grep -q "$called" $out
}

test_what_a_killed_session_left_is_removed() {
    local dead i
    for i in {1..20}; do
        session -e accept:error=EMFILE
        dead=$pid
        stop "$dead" KILL
        run "$SNAG" ctl
        expect_status 0
        cp others said
        wait_for 5 is_not_listed # another test's snag may be about to remove it
        nothing_left "$dead"
        ! grep -q 'that was killed had left' said || return 0
    done
    fail 'nobody said that something was left'
}

test_help() {
    run "$SNAG" ctl --help
    expect_status 0
    expect_has $out 'snag ctl [SESSION] add RULE...'
    run "$SNAG" ctl --version
    expect_status 0
}

tests_main "$@"
