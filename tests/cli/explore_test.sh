#!/bin/bash
# snag explore, replay, diff and report DIR: each verdict on a server that does just that wrong, and on one that does right.
TEST_SECONDS=${TEST_SECONDS:-120}
# shellcheck source=tests/cli/harness.sh
. "${0%/*}/harness.sh"

times=(--hold 600ms --grace 300ms --patience 1s --stop-timeout 500ms)

# explore HABIT ARGUMENT...: of the server `wrong`; leaves out.HABIT.
explore() {
    local habit=$1
    shift
    port=${port:-$(free_port)}
    run -t 100 "$SNAG" explore -o "out.$habit" "${times[@]}" --send 'hi\n' --expect hi "$@" -- "$(program wrong)" "$habit" "$port"
}

# earns HABIT ID VERDICT: case ID of that exploration has it, and is the same when it is replayed.
earns() {
    expect_json "out.$1/summary.json" ".cases[] | select(.id == \"$2\") | .verdict == \"$3\""
    run "$SNAG" replay "out.$1/cases/$2"
    expect_equal 'the last line of a replay' "$(tail -n 1 $out)" "verdict: $3"
}

test_right() {
    explore right --faults EMFILE,EINTR,ECONNABORTED,socklen=0,EADDRINUSE
    expect_status 0
    expect_json out.right/summary.json '.complete and (.cases | length) >= 12'
    expect_json out.right/summary.json '[.cases[] | select(.mode == "nth") | .verdict] | unique == ["declined"]'
    # Its accept wants no address, so none can be falsified: nothing was tested, and nothing passes.
    expect_json out.right/summary.json '[.cases[] | select(.fault == "socklen=0") | .verdict] | unique == ["untested"]'
    expect_json out.right/summary.json \
        '[.cases[] | select(.mode != "nth" and .fault != "socklen=0") | .verdict] | unique == ["served"]'
    expect_json out.right/summary.json '[.cases[] | select(.mode == "exhaust")] | length == 1'
    expect_json out.right/summary.json 'all(.cases[]; .verdict == "untested" or .evidence.injected > 0)'
    expect_has $out 'served'
}

test_each_verdict() {
    explore slow --faults EMFILE --modes once
    expect_status 0
    earns slow accept4-emfile-once@take slow
    explore dropped --faults EINTR --modes once
    expect_status 0
    earns dropped accept4-eintr-once@take dropped
    explore respawned --faults EMFILE --modes once
    expect_status 0
    earns respawned accept4-emfile-once@take respawned
    explore exited --faults EMFILE --modes once
    expect_status 1
    earns exited accept4-emfile-once@take exited
    explore unstoppable --faults EMFILE --modes once
    expect_status 1
    earns unstoppable accept4-emfile-once@take unstoppable
    explore deaf --faults EMFILE --modes once
    expect_status 1
    earns deaf accept4-emfile-once@take deaf
    explore crashed --faults EMFILE --modes once
    expect_status 1
    earns crashed accept4-emfile-once@take crashed
    expect_json out.crashed/summary.json '.cases[0].evidence.signal == "SIGABRT"'
    # A moment has no rates.
    expect_json out.crashed/summary.json '.cases[0].evidence | .calls_per_s == null and .cpu == null and .log_lines_per_s == null'
}

test_verdicts_of_a_habit() {
    explore spun --faults EMFILE --modes held
    expect_status 1
    earns spun accept4-emfile-held@take spun
    expect_json out.spun/summary.json '.cases[0].evidence.calls_per_s > 1000'
    explore flooded --faults EMFILE --modes held
    expect_status 0
    earns flooded accept4-emfile-held@take flooded
    expect_json out.flooded/summary.json '.cases[0].evidence | .log_lines_per_s > 100 and .calls_per_s < 1000'
    explore shed --faults EMFILE --modes held,exhaust
    expect_status 0
    earns shed accept4-emfile-held@take shed
    earns shed accept4-emfile-exhaust shed
    # Who comes when the fault is over is turned away without an excuse.
    explore sulks --faults EMFILE --modes held
    expect_status 0
    earns sulks accept4-emfile-held@take dropped
    explore leaked --faults EINTR --modes burst
    expect_status 1
    earns leaked accept4-eintr-burst@take leaked
    expect_json out.leaked/summary.json '.cases[0].evidence.fd_delta == 50'
}

test_a_start_that_is_refused() {
    explore right --faults EADDRINUSE --modes nth
    earns right bind-eaddrinuse-nth1@listen_on declined
    explore quiet --faults EADDRINUSE --modes nth --sites bind
    expect_status 1
    # Where the call is made.
    expect_match $out '^    in listen_on \(wrong\.c:[0-9]+\) < main \(wrong\.c:[0-9]+\)'
    earns quiet bind-eaddrinuse-nth1@listen_on exited
    expect_has $out 'without a word'
}

test_workers_and_threads() {
    explore threads --faults EMFILE,ECONNABORTED --sites accept4
    expect_status 0
    expect_json out.threads/summary.json '[.cases[] | .verdict] | unique == ["served"]'
    explore blocks --faults EMFILE,ECONNABORTED,EINTR --sites accept4
    expect_status 0
    expect_json out.blocks/summary.json '[.cases[] | .verdict] | unique == ["served"]'
    explore sanitized --faults EMFILE --modes once
    expect_status 1
    earns sanitized accept4-emfile-once@take crashed
}

# A case that ends so is tried again under ptrace, and shows where: in a thread, in a worker, behind a handler, without symbols.
test_where_it_crashed() {
    explore strikes --faults EMFILE --modes once --sites accept4
    expect_status 1
    expect_json out.strikes/summary.json '.cases[0].evidence | (.signal | IN("SIGILL", "SIGTRAP")) and (.stack[0] | test("^strike [(]wrong[.]c:[0-9]+[)]$"))'
    expect_json out.strikes/summary.json '.cases[0].evidence | (.stack | any(startswith("misbehave (wrong.c:"))) and (.text | test("; at strike [(]wrong.c:[0-9]+[)] < misbehave "))'
    expect_json out.strikes/summary.json '.cases[0] | .seen == ["crashed", "crashed"] and .flaky == false'
    expect_match out.strikes/report.html '^<h3>Where it crashed</h3><pre>SIG(ILL|TRAP)$'
    expect_match out.strikes/report.html '^strike [(]wrong[.]c:[0-9]+[)]$'
    run "$SNAG" replay out.strikes/cases/accept4-emfile-once@*
    expect_match $out '; at strike [(]wrong[.]c:[0-9]+[)] < misbehave '
    explore worker --faults EMFILE --modes once
    expect_json out.worker/summary.json '.cases[0].evidence | .text | test("a worker ended by SIGABRT; at misbehave [(]wrong.c:")'
    explore handles --faults EMFILE --modes once --sites accept4
    expect_json out.handles/summary.json '.cases[0] | .verdict == "exited" and (.evidence.stack[0] | startswith("strike (wrong.c:"))'
    objcopy --strip-all "$(program wrong)" stripped
    run "$SNAG" explore -o out.stripped "${times[@]}" --faults EMFILE --modes once --sites accept4 -- ./stripped strikes "$port"
    expect_json out.stripped/summary.json '.cases[0].evidence | (.signal | IN("SIGILL", "SIGTRAP")) and (.stack[0] | test("^0x[0-9a-f]+ in stripped$"))'
}

# The end of its last client's child ends the accept that the fault has chosen: that one is not the client's, and the fault
# waits for one that is.
test_an_accept_that_is_interrupted() {
    explore forks --faults socklen=0,ECONNABORTED --modes once,burst
    expect_status 0
    earns forks accept-socklen0-once@fork_for_each dropped
    expect_json out.forks/summary.json \
        '[.cases[] | select(.mode == "once") | [.fault, .verdict, .flaky, .evidence.injected]] == [["ECONNABORTED", "served", false, 1], ["socklen=0", "dropped", false, 1]]'
    expect_json out.forks/summary.json '[.cases[] | select(.mode == "burst") | .verdict] == ["served", "dropped"]'
    run "$SNAG" replay --minimise out.forks/cases/accept-socklen0-burst@fork_for_each
    expect_has $out 'least: accept:socklen=0:times=1'
}

# Without CAP_SYS_RESOURCE, root must become the server's user to change its limit.
test_real_exhaustion_of_another_user() {
    local as=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
    [ "$(id -u)" = 0 ] || return 0
    reachable "$(program wrong)"
    port=$(free_port)
    for drop in '' '--bounding-set=-sys_resource --inh-caps=-sys_resource'; do
        # shellcheck disable=SC2086
        run setpriv $drop "$SNAG" explore -o other "${times[@]}" --faults EMFILE --modes exhaust -- "${as[@]}" ./wrong shed "$port"
        expect_status 0
        expect_json other/summary.json '.cases[0].verdict == "shed"'
        rm -r other
    done
}

# The kernel tells of a process that was not our child how it ended only since Linux 6.15.
test_a_worker_that_crashes() {
    explore worker --faults EMFILE --modes once
    expect_json out.worker/summary.json '.cases[0].verdicts | index("respawned") != null'
}

test_two_listeners() {
    explore twice --faults EMFILE --modes once
    expect_status 0
    expect_json out.twice/summary.json '[.cases[].id | sub("@[^+]*"; "")] == ["accept4-emfile-once+ipv4", "accept4-emfile-once+ipv4~2"]'
    expect_json out.twice/summary.json "[.cases[].listener] == [\"127.0.0.1:$port\", \"127.0.0.1:$((port + 1))\"]"
    run "$SNAG" explore -o one "${times[@]}" --faults EMFILE --modes once --listen "127.0.0.1:$((port + 1))" -- \
        "$(program wrong)" twice "$port"
    expect_json one/summary.json '[.cases[].id | sub("@[^+]*"; "")] == ["accept4-emfile-once+ipv4~2"]'
    run "$SNAG" explore -o none --listen 127.0.0.1:1 -- "$(program wrong)" twice "$port"
    expect_status 125
    expect_has err "the server listens on 127.0.0.1:$port"
}

test_jobs_have_a_network_each() {
    unshare -rn true || unshare -n true || return 0
    explore right -j 2 --faults EMFILE,EINTR,EPROTO --modes once,burst
    expect_status 0
    expect_json out.right/summary.json '(.cases | length) == 6 and ([.cases[].verdict] | unique == ["served"])'
    expect_has err 'with 2 jobs'
}

test_list_runs_nothing() {
    explore right --list --faults EMFILE,EAGAIN --modes once,held
    expect_status 0
    expect_lines $out <<'LINES'
accept4-eagain-once@take * accept4:error=EAGAIN:when=1:site=????????????????:pending
accept4-emfile-once@take * accept4:error=EMFILE:when=1:site=????????????????:pending
accept4-emfile-held@take * accept4:error=EMFILE:site=????????????????:pending
LINES
    [ ! -e out.right ] || fail 'a folder was made'
}

test_narrowed() {
    explore right --list --all
    local all
    all=$(wc -l <$out)
    for i in 1 2 3; do
        run "$SNAG" explore --list --all --shard $i/3 "${times[@]}" -- "$(program wrong)" right "$port"
        cat $out >>parts
    done
    expect_equal 'cases of three shards' "$(sort -u parts | wc -l)" "$all"
    run "$SNAG" explore --list --all --max-cases 7 --seed 3 "${times[@]}" -- "$(program wrong)" right "$port"
    expect_equal 'cases that were drawn' "$(wc -l <$out)" 7
    cp $out first
    run "$SNAG" explore --list --all --max-cases 7 --seed 3 "${times[@]}" -- "$(program wrong)" right "$port"
    cmp -s first $out || fail 'the same seed drew others'
    run "$SNAG" explore --list --all --max-cases 7 --seed 4 "${times[@]}" -- "$(program wrong)" right "$port"
    ! cmp -s first $out || fail 'another seed drew the same'
    run "$SNAG" explore --list --sites 'bind,liste?' -- "$(program wrong)" right "$port"
    expect_lacks $out socket-
    expect_has $out bind-
    expect_has $out listen-
    run "$SNAG" explore --list --modes once --sites take -- "$(program wrong)" right "$port"
    expect_has $out accept4-emfile-once@take
    run "$SNAG" explore --list --modes nth --sites bind@listen_on -- "$(program wrong)" right "$port"
    expect_equal 'other calls' "$(grep -vc ^bind- $out)" 0
}

test_parts_come_together() {
    explore spun --faults EMFILE,EINTR --modes once,held --shard 1/2
    mv out.spun one
    explore spun --faults EMFILE,EINTR --modes once,held --shard 2/2
    mv out.spun two
    run "$SNAG" report --json one two
    expect_status 1
    expect_json $out '.complete and [.cases[].id] == ["accept4-eintr-once@take", "accept4-emfile-once@take", "accept4-emfile-held@take"]'
    run "$SNAG" report --fail-on crashed one two
    expect_status 0
    run "$SNAG" report --markdown one two
    expect_has $out '**spun** `accept4-emfile-held@take`'
}

# A server that makes more calls than its baseline did: these are found while it runs, and each by one shard alone.
test_shards_are_the_whole() {
    local which
    for which in 1/1 1/3 2/3 3/3; do
        rm -f learnt
        explore learns --faults ENOMEM,EADDRINUSE --modes nth --sites setsockopt,bind,listen --shard $which
        expect_status 0
        jq -r '.cases[].id' out.learns/summary.json >>"${which#*/}"
        rm -r out.learns
    done
    sort 1 >whole
    sort 3 >parts
    expect_lines whole <<'LINES'
bind-eaddrinuse-nth1@listen_on
bind-enomem-nth1@listen_on
listen-eaddrinuse-nth1@listen_on
setsockopt-eaddrinuse-nth1@listen_on
setsockopt-eaddrinuse-nth2@listen_on
setsockopt-eaddrinuse-nth3@listen_on
setsockopt-enomem-nth1@listen_on
setsockopt-enomem-nth2@listen_on
setsockopt-enomem-nth3@listen_on
LINES
    cmp whole parts || fail 'the parts are not the whole'
    rm -f learnt
    explore learns --faults ENOMEM --modes nth --sites setsockopt --max-cases 2
    expect_json out.learns/summary.json '[.cases[].nth] == [1, 2]'
}

test_baseline() {
    explore spun --faults EMFILE --modes once,held --write-baseline known
    expect_status 1
    expect_lines known <<'LINES'
accept4-emfile-held@take spun
LINES
    rm -r out.spun
    explore spun --faults EMFILE --modes once,held --baseline known
    expect_status 0
    rm -r out.spun
    echo 'accept4-emfile-once@take deaf,crashed # long ago' >>known
    explore spun --faults EMFILE --modes once,held --baseline known
    expect_status 0
    expect_has err 'mended: accept4-emfile-once@take is served now; known:2 can go'
    rm -r out.spun
    # What nothing was tested of is not mended.
    explore right --faults socklen=0 --modes once --write-baseline none
    echo 'accept4-socklen0-once@take crashed' >known
    rm -r out.right
    explore right --faults socklen=0 --modes once --baseline known
    expect_lacks err 'mended'
    rm -r out.right
    # Comments stay with their lines, and so do lines of cases that were not tried now.
    cat >known <<'LIST'
# What we live with.

# Waits for 2.0.
accept4-emfile-held@take deaf   # it sleeps
accept4-enfile-once@take crashed # another day
bind-eaddrinuse-nth1@listen_on exited # mended
# the end
LIST
    explore spun --faults EMFILE,EADDRINUSE --modes once,held,nth --sites 'accept4,bind' --baseline known --write-baseline known
    expect_status 1
    expect_has err 'mended: bind-eaddrinuse-nth1@listen_on is declined now; known:6 can go'
    expect_lines known <<'LINES'
# What we live with.

# Waits for 2.0.
accept4-emfile-held@take spun # it sleeps
accept4-enfile-once@take crashed # another day
# the end
LINES
    rm -r out.spun
    echo 'half a line' >known
    explore spun --faults EMFILE --modes once --write-baseline known
    expect_status 125
    expect_has err 'known:1: expected ID VERDICT'
    expect_lines known <<<'half a line'
    rm -r out.spun
    echo 'accept4-emfile-once@take dead' >known
    explore spun --faults EMFILE --modes once --baseline known
    expect_status 125
    expect_has err "known:1: no verdict 'dead'"
}

test_diff() {
    explore spun --faults EMFILE --modes held
    explore flooded --faults EMFILE --modes held
    run "$SNAG" diff out.spun out.flooded
    expect_status 0
    expect_match $out '^spun +flooded +accept4-emfile-held@take$'
    run "$SNAG" diff out.flooded out.spun
    expect_status 1
    run "$SNAG" diff out.spun out.spun
    expect_equal 'lines without a change' "$(wc -l <$out)" 1
    run "$SNAG" diff out.spun nothing
    expect_status 125
}

test_replay_of_another_server() {
    explore spun --faults EMFILE --modes held
    run "$SNAG" replay out.spun/cases/accept4-emfile-held@take
    expect_status 1
    run "$SNAG" replay out.spun/cases/accept4-emfile-held@take -- "$(program wrong)" right "$port"
    expect_status 0
    expect_equal 'the last line' "$(tail -n 1 $out)" 'verdict: served'
    run "$SNAG" replay out.spun/cases/accept4-emfile-held@take -- false
    expect_status 125
    explore right --faults EMFILE --modes once
    run "$SNAG" replay out.right/cases/accept4-emfile-once@take
    expect_status 0
    run "$SNAG" replay out.right/cases/accept4-emfile-once@take -- "$(program wrong)" crashed "$port"
    expect_status 1
}

test_reports_hold_what_a_server_prints() {
    explore markup --faults EMFILE --modes held
    expect_status 1
    expect_lacks out.markup/report.html "<script>alert"
    expect_has out.markup/report.html '&lt;script&gt;alert(&#39;snag&#39;)'
    expect_has out.markup/report.html 'snag replay out.markup/cases/accept4-emfile-held@take'
    expect_lacks out.markup/report.html 'http://'
    python3 - out.markup/junit.xml out.markup/report.html <<'PYTHON' || fail 'the reports are not well formed'
import sys, xml.dom.minidom
suite = xml.dom.minidom.parse(sys.argv[1]).getElementsByTagName("testsuite")[0]
assert suite.getAttribute("tests") == "1" and suite.getAttribute("failures") == "1"
page = open(sys.argv[2], "rb").read()
page.decode("utf-8")
assert not [byte for byte in page if byte < 32 and byte not in (9, 10)]
PYTHON
}

test_interrupted_and_resumed() {
    port=$(free_port)
    start "$SNAG" explore -o part "${times[@]}" --hold 400ms --faults EMFILE,ENFILE,ENOMEM,ENOBUFS --modes held -- \
        "$(program wrong)" right "$port"
    wait_for 30 test -e part/cases/accept4-emfile-held@take/verdict.json
    stop "$pid" INT
    expect_status 125
    expect_json part/summary.json '(.complete | not) and (.cases | length) >= 1 and (.cases | length) < 4'
    mv part/cases/accept4-emfile-held@take/verdict.json mark
    touch -r part/summary.json mark
    mv mark part/cases/accept4-emfile-held@take/verdict.json
    run -t 60 "$SNAG" explore -o part --resume "${times[@]}" --hold 400ms --faults EMFILE,ENFILE,ENOMEM,ENOBUFS --modes held \
        -- "$(program wrong)" right "$port"
    expect_status 0
    expect_json part/summary.json '.complete and (.cases | length) == 4'
    [ ! part/cases/accept4-emfile-held@take/verdict.json -nt part/cases/accept4-enobufs-held@take/verdict.json ] ||
        fail 'a case that was done was done again'
}

test_a_bomb_does_not_stop_it() {
    explore bomb --faults EMFILE,EINTR --modes once --sites accept4
    expect_status 125
    expect_has $out 'accept4-emfile-once@take'
    expect_json out.bomb/summary.json '.cases | length == 2'
}

# Megabytes a second, and no more of them on the disk than a case may have.
test_logs_without_end_do_not_fill_the_disk() {
    explore logs --faults EMFILE,EINTR --modes once --sites accept4
    expect_status 1
    expect_json out.logs/summary.json '.complete and ([.cases[].verdict] == ["deaf", "deaf"])'
    [ "$(find out.logs -type f -size +8192k | wc -l)" = 0 ] || fail "$(find out.logs -type f -size +8192k -ls)"
}

# Neither listens nor ends, and is not to be stopped: the case is over in its time, and the next one comes.
test_a_start_that_hangs_does_not_stop_it() {
    explore stuck --ready-timeout 1s --faults EADDRINUSE,EMFILE --modes nth,once --sites bind,accept4
    expect_status 1
    expect_json out.stuck/summary.json '.complete and (.cases | length) == 2'
    expect_json out.stuck/summary.json '.cases[] | select(.call == "bind") | .verdicts | index("deaf") != null and index("unstoppable") != null'
}

test_options_in_a_file() {
    port=$(free_port)
    cat >snag.conf <<CONF
# what this project wants
faults = EMFILE
--modes=once
hold 600ms
send=hi\\n
expect=hi
server=$(program wrong) 'right' "$port"
CONF
    run "$SNAG" explore -o here
    expect_status 0
    expect_json here/summary.json '[.cases[].id] == ["accept4-emfile-once@take"]'
    run "$SNAG" explore -o there --modes held
    expect_json there/summary.json '[.cases[].id] == ["accept4-emfile-held@take"]'
    echo 'colour=red' >snag.conf
    run "$SNAG" explore -- true
    expect_status 125
    expect_has err 'snag.conf:1: no long option of snag explore: colour'
}

# refused TEXT ARGUMENT...: explore says TEXT and ends with 125.
refused() {
    local text=$1
    shift
    run "$SNAG" explore "$@"
    expect_status 125
    expect_has err "$text"
}

test_bad_input() {
    port=$(free_port)
    refused 'no server given' --faults EMFILE
    refused 'out of range' --shard 3/2 -- true
    refused 'out of range' --shard 0/2 -- true
    refused 'expected I/N' --shard half -- true
    refused 'neither an errno nor a tampering' --faults EMFILEE -- true
    refused 'expected some of once' --modes twice -- true
    refused 'did you mean crashed' --fail-on crashd -- true
    refused 'did you mean --faults' --fault EMFILE --fualts -- true
    refused 'must be above zero' --hold 0s -- true
    refused '--send needs --expect' --send x -- true
    refused 'not found in PATH' -o o1 -- no-such-server
    refused 'does not come up without a fault' -o o2 -- true
    refused 'does not come up without a fault' -o o3 --ready-timeout 300ms -- sleep 30
    refused 'no client of' -o o4 --patience 300ms --send x --expect never -- "$(program wrong)" right "$port"
    refused 'no client of' -o o5 --patience 300ms --client 'sleep 20' -- "$(program wrong)" right "$port"
    mkdir full && touch full/x
    refused 'is there already, and not empty' -o full -- true
    refused 'is there already, and no folder' -o full/x -- true
    refused "can't make the folder" -o no/such/folder -- true
    refused 'nothing that the server calls' -o o6 --sites nowhere -- "$(program wrong)" right "$port"
}

test_bad_cases() {
    explore right --faults EMFILE --modes once
    run "$SNAG" replay nowhere
    expect_status 125
    run "$SNAG" replay
    expect_has err 'no case given'
    cp -r out.right/cases/accept4-emfile-once@take damaged
    echo '{"format":1}' >damaged/case.json
    run "$SNAG" replay damaged
    expect_status 125
    expect_has err 'damaged/case.json: a member is missing'
    echo '{' >damaged/case.json
    run "$SNAG" replay damaged
    expect_status 125
    expect_has err 'damaged/case.json: '
    cp -r out.right broken
    echo '{"format":1,"id":"../../x"}' >broken/cases/accept4-emfile-once@take/verdict.json
    run "$SNAG" report broken
    expect_status 125
}

# It listens where it likes; goes to the background; needs a terminal; is no server.
test_odd_servers() {
    local habit
    for habit in moves daemon; do
        explore $habit --faults EMFILE,EINTR --modes once,held
        expect_status 0
        earns $habit accept4-emfile-once@take served
        expect_json out.$habit/summary.json '[.cases[] | .verdict] | unique == ["served"]'
    done
    explore terminal --faults EMFILE --modes once
    expect_status 125
    expect_has err '| no terminal'
    expect_has err 'servers get no terminal and no input'
    run "$SNAG" explore -o inside "${times[@]}" --faults EMFILE --modes once -- \
        script -qefc "exec $(program wrong) terminal $port" /dev/null
    expect_status 0
    expect_json inside/summary.json '.cases[0].verdict == "served"'
    explore over --faults EMFILE --modes once
    expect_status 125
    expect_has err 'ended with exit status 0 before it was ready'
    expect_has err 'expected a server that listens until it is stopped'
}

# The client of the case waits for ever, and so does what it started; the one of the control does not.
test_a_client_that_hangs() {
    port=$(free_port)
    run "$SNAG" explore -o hangs "${times[@]}" --faults EMFILE --modes once --client \
        "bash -c 'exec 3<>/dev/tcp/\$SNAG_HOST/\$SNAG_PORT; echo hi >&3; read -r line <&3; :'" -- "$(program wrong)" deaf "$port"
    expect_status 1
    expect_json hangs/summary.json '.complete and .cases[0].verdict == "deaf"'
    run "$SNAG" replay hangs/cases/accept4-emfile-once@take
    expect_equal 'the last line' "$(tail -n 1 $out)" 'verdict: deaf'
}

# What is written on a folder with so little room in it, and that no report is half there.
full_at() {
    unshare ${unshare:+"$unshare"} -m sh -c 'mount -t tmpfs -o size="$1" none disk && shift && "$@"; code=$?; cp -r disk kept; exit $code' \
        sh "$@"
}

test_output_folder_is_full() {
    local unshare='' room faults=EMFILE,EINTR,ENFILE,ENOMEM
    mkdir disk
    [ "$(id -u)" = 0 ] || unshare=-r
    full_at 4k true || return 0
    rm -r kept
    port=$(free_port)
    for room in 8k 48k 100k; do
        status=0
        full_at $room "$SNAG" explore -o disk/o "${times[@]}" --faults $faults --modes once -- \
            "$(program wrong)" right "$port" >out 2>err || status=$?
        expect_status 125
        expect_has err 'No space left on device'
        expect_lacks err 'No such file'
        expect_lacks err 'does not come up'
        find kept \( -name '*.json' -o -name junit.xml -o -name report.html \) -size 0 | tee half
        expect_empty half
        rm -r kept
    done
}

test_output_folder_is_not_writable() {
    local as=()
    mkdir -m 555 locked
    if [ "$(id -u)" = 0 ]; then
        as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
        reachable
    fi
    run "${as[@]}" "$SNAG" explore -o locked -- true
    expect_status 125
    expect_has err "can't write to the folder locked: Permission denied"
    run "${as[@]}" "$SNAG" explore -o locked/below -- true
    expect_status 125
    expect_has err "can't make the folder locked/below: Permission denied"
}

# damage FILTER TEXT: a replay of the case whose case.json went through jq's FILTER says TEXT, and tries nothing.
damage() {
    rm -rf damaged
    cp -r "$case_folder" damaged
    jq "$1" "$case_folder/case.json" >damaged/case.json
    run "$SNAG" replay damaged
    expect_status 125
    expect_has err "$2"
    expect_lacks $out verdict
}

test_damaged_cases() {
    local file case_folder=out.right/cases/accept4-emfile-once@take
    explore right --faults EMFILE --modes once
    damage '.rule = "accept4:eror=EMFILE"' 'damaged/case.json: its rule is none'
    expect_has err '^'
    damage '.rule = ""' 'damaged/case.json: a case of that mode needs a rule'
    damage '.mode = "exhaust"' 'damaged/case.json: a case of that mode has no rule'
    damage '.mode = "twice"' 'damaged/case.json: a member is missing'
    damage '.limits.hold_ns = -5' 'damaged/case.json: a member is missing'
    damage '.options = [1]' 'damaged/case.json: expected lists of words'
    damage '.options = ["--nonsense"]' 'damaged/case.json: its options are not those of this snag'
    damage '.server = []' 'damaged/case.json: expected lists of words'
    damage '.server = ["no/such/server"]' 'no/such/server'
    damage '.control = {}' 'damaged/case.json: a member is missing'
    for file in case.json verdict.json; do
        rm -rf damaged
        cp -r $case_folder damaged
        rm damaged/$file
        run "$SNAG" replay damaged
        expect_status 125
        expect_has err "damaged/$file: No such file or directory"
        head -c 300 $case_folder/$file >damaged/$file
        run "$SNAG" replay damaged
        expect_status 125
        expect_has err "damaged/$file: "
    done
    # Its evidence is still there to be read, and it can be tried again.
    echo '{' >$case_folder/trace.jsonl
    run "$SNAG" report --html out.right
    expect_status 0
    rm $case_folder/trace.jsonl
    run "$SNAG" report --html out.right
    expect_status 0
    run "$SNAG" replay $case_folder
    expect_status 0
}

# Servers that do one thing after the other: nothing of a case is left to chance.
test_replays_are_equal() {
    local case_folder
    explore exited --faults EMFILE --modes once
    explore dropped --faults EINTR --modes once
    explore seventh --faults EINTR --modes burst
    for case_folder in out.*/cases/accept4-*; do
        for _ in 1 2 3 4 5; do
            run "$SNAG" replay "$case_folder"
            tail -n 1 $out >>verdicts
        done
    done
    sort verdicts | uniq -c >counts
    expect_lines counts <<'LINES'
      5 verdict: dropped
     10 verdict: exited
LINES
}

test_minimise() {
    explore seventh --faults EINTR --modes once,burst
    run "$SNAG" replay --minimise out.seventh/cases/accept4-eintr-burst@take
    expect_status 1
    # 50 at first; 1, 2, 4, 8; 6, 7; and without each of pending and site.
    expect_lines $out <<'LINES'
accept4-eintr-burst@take
least: accept4:error=EINTR:when=1..7
9 tries
verdict: exited
LINES
    run "$SNAG" replay --minimise out.seventh/cases/accept4-eintr-once@take
    expect_status 125
    expect_has err 'nothing to minimise: served'
    explore exited --faults EMFILE --modes held
    run "$SNAG" replay --minimise out.exited/cases/accept4-emfile-held@take
    expect_status 1
    expect_has $out 'least: accept4:error=EMFILE:when=1'
    run "$SNAG" replay --minimise out.exited/cases/accept4-emfile-held@take -- "$(program wrong)" right "$port"
    expect_status 125
    expect_has err 'it is not exited any more'
}

tests_main "$@"
