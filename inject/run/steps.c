/*
 * steps.c - what happens next in a run.
 *
 *     STARTING -> SERVING -> (JUDGING ->) STOPPING -> (KILLING ->) OVER
 *
 * A server that ends by itself goes to OVER from wherever it is.  Without a client, a probe, --for or --ready nobody
 * waits, and a run is in SERVING from the start.
 */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plan/duration.h"
#include "plan/names.h"
#include "run/clock.h"
#include "run/say.h"
#include "run/session.h"
#include "run/summary.h"

#define TICK_BUSY_NS NS_PER_MS
#define TICK_STEADY_NS (4 * NS_PER_MS) /* with some records each time: the server may want our processor */
#define TICK_IDLE_NS (10 * NS_PER_MS)
#define TICK_MANY (RING_SLOTS / 16) /* records in one tick, with which a ring is full in a few */
#define SWEEP_NS (100 * NS_PER_MS)
#define LOOK_WAITING_NS (250 * NS_PER_MS)  /* between two looks at the server's processes, before it is ready */
#define LOOK_NS NS_PER_S                   /* ... and after */
#define RECORD_WITHIN_NS (100 * NS_PER_MS) /* how long the record of READY may take after ready_ns is set */
#define READY_AGAIN_NS (50 * NS_PER_MS)    /* between two runs of --ready's command */
#define PATIENCE_NS (10 * NS_PER_S)        /* for a server to serve again */
#define KILL_AGAIN_NS (10 * NS_PER_MS)
#define KILL_GIVE_UP_NS (10 * NS_PER_S)
#define CLIENT_GRACE_NS (5 * NS_PER_S) /* for a client whose server is gone */

enum { SPARE_RINGS = 4, MORE_RINGS = 8 };

static void look_before_the_end(struct session *session);
static bool server_is_gone(struct session *session);
static void note_server_end(struct session *session);

static void arm(struct event *timer, uint64_t ns)
{
    struct timeval time = clock_timeval(ns);
    event_add(timer, &time);
}

static void step_over(struct session *session)
{
    session->phase = PHASE_OVER;
    event_base_loopbreak(session->base);
}

static void step_kill(struct session *session)
{
    session->phase = PHASE_KILLING;
    session->stop_ignored = true;
    session->kill_until = clock_ns() + KILL_GIVE_UP_NS;
    event_del(session->deadline);
    arm(session->retry, 1);
}

void session_fail(struct session *session)
{
    session->failed = true;
    if (session->phase < PHASE_STOPPING)
        session_stop(session);
}

/* --- The end ----------------------------------------------------------------------------------------------------- */

/* Asks the server to end, whether it is well or not, and gives it --stop-timeout for that. */
void session_stop(struct session *session)
{
    char name[SIGNAL_NAME_MAX];
    if (session->phase >= PHASE_STOPPING)
        return;
    session->phase = PHASE_STOPPING;
    event_del(session->for_timer);
    event_del(session->retry);
    if (session->probe != NULL)
        probe_stop(session->probe);
    if (server_is_gone(session)) {
        note_server_end(session); /* by itself: it was not asked yet */
        step_over(session);
        return;
    }
    look_before_the_end(session);
    say_detail("stopping the server with %s", signal_name(session->options->stop_signal, name));
    /* First, for one that is stopped would not hear; and a SIGCONT that comes later hangs LeakSanitizer at its exit. */
    tree_stop(&session->tree, SIGCONT);
    tree_stop(&session->tree, session->options->stop_signal);
    arm(session->deadline, session->options->stop_timeout_ns);
}

static void kill_again(struct session *session)
{
    size_t living = tree_kill(&session->tree);
    if (living == 0 && !tree_lives(&session->tree)) {
        step_over(session);
    } else if (clock_ns() > session->kill_until) {
        say_error("%zu processes of the server can't be killed", living);
        session->failed = true;
        step_over(session);
    } else {
        arm(session->retry, KILL_AGAIN_NS);
    }
}

/* --- Client and probe -------------------------------------------------------------------------------------------- */

static void on_probe_done(void *context)
{
    struct session *session = context;
    session->client_done = true;
    event_active(session->tick, EV_TIMEOUT, 0); /* not here: the probe is in the middle of something */
}

/* Starts what is asked of a server that is ready. */
static void step_ask(struct session *session)
{
    const struct options *options = session->options;
    bool http = options->ask == ASK_HTTP || options->ask == ASK_HTTPS;
    session->phase = PHASE_SERVING;
    event_del(session->deadline);
    if (options->for_ns != 0)
        arm(session->for_timer, options->for_ns);
    if (session->script != NULL)
        session->script->ready(session);
    if (session->script != NULL || options->ask == ASK_NOTHING)
        return;
    session->facts.asked = true;
    session->facts.command = options->ask == ASK_CLIENT;
    if (http && !endpoint_is_tcp(&session->endpoint)) {
        say_error("the server listens on a unix socket, and --http and --https need TCP; try --client 'curl ...'");
        session_fail(session);
        return;
    }
    if (options->ask == ASK_CLIENT) {
        if (client_start(&session->client, session->base, options->client, &session->endpoint,
                         options->client_timeout_ns, false) == 0)
            return;
        say_error("can't start the client: %s", strerror(errno));
    } else {
        session->probe = probe_start(session->base, options, options->ask, &session->endpoint, on_probe_done, session);
        arm(session->deadline, options->client_timeout_ns);
        if (session->probe != NULL)
            return;
        say_error("can't start the probe: %s", strerror(errno));
    }
    session_fail(session);
}

static uint64_t since_ready_ms(const struct session *session)
{
    return (clock_ns() - atomic_load(&session->board->ready_ns)) / NS_PER_MS;
}

/* Whether a rule holds an accept back when its connection is there already, and its record with it. */
static bool delays_accepts(struct session *session)
{
    uint32_t stamp = atomic_load(&session->board->plan_stamp);
    const struct rule *rules = board_rules(session->board, stamp);
    for (uint32_t i = 0; i < session->board->rule_counts[stamp % PLANS]; i++)
        if ((rules[i].actions & ACT_DELAY_EXIT) &&
            (rule_names(&rules[i], CALL_accept) || rule_names(&rules[i], CALL_accept4)))
            return true;
    return false;
}

/* Whether every accept that libc makes leaves a record at once, so that a connection without one was accepted otherwise. */
static bool knows_accepts(struct session *session)
{
    const unsigned char *wanted = session->board->wanted;
    return (wanted[CALL_accept] & wanted[CALL_accept4] & WANT_RECORD) && drain_lost(session->drain) == 0 &&
           !delays_accepts(session);
}

/* Writes down how the client or the probe fared. */
static void note_client(struct session *session)
{
    struct facts *facts = &session->facts;
    facts->client_timed_out = session->client_timed_out || session->client.timed_out;
    facts->served_ms = since_ready_ms(session);
    if (facts->command) {
        facts->client_status = session->client.status;
        facts->client_ok = session->client.status == 0 && !facts->client_timed_out;
        drain_read(session->drain, clock_ns()); /* its accept may not be read yet */
        facts->accept_unseen = facts->client_ok && knows_accepts(session) && !unseen_has_accept(session->unseen);
        return;
    }
    const struct probe_result *result = probe_result(session->probe);
    facts->client_ok = result->done;
    facts->attempts = result->attempts;
    facts->http_status = result->http_status;
    facts->accept_unseen = result->done && !result->accepted;
}

/* The client failed and the server lives: without faults, does it serve again? */
static void step_judge(struct session *session)
{
    enum ask ask = session->options->ask == ASK_CLIENT ? ASK_CONNECT : session->options->ask;
    session->phase = PHASE_JUDGING;
    say_detail("the client failed; without faults, is the server still there?");
    atomic_store(&session->board->paused, 1);
    probe_free(session->probe);
    session->facts.recovery_tried = true;
    session->facts.patience_ms = PATIENCE_NS / NS_PER_MS;
    session->probe = probe_start(session->base, session->options, ask, &session->endpoint, on_probe_done, session);
    if (session->probe == NULL) {
        say_error("can't start the probe: %s", strerror(errno));
        session_fail(session);
        return;
    }
    session->judging_since = clock_ns();
    arm(session->deadline, PATIENCE_NS);
}

/* The client or the probe is done, for good or ill. */
static void step_client_done(struct session *session)
{
    session->client_done = false;
    if (session->phase != PHASE_SERVING && session->phase != PHASE_JUDGING)
        return; /* the deadline is the server's now */
    event_del(session->deadline);
    if (session->phase == PHASE_JUDGING) {
        session->facts.recovered = true;
        session->facts.recovered_ms = (clock_ns() - session->judging_since) / NS_PER_MS;
        session_stop(session);
        return;
    }
    note_client(session);
    if (session->facts.server_ended)
        step_over(session);
    else if (session->facts.client_ok || rulebook_sums(session->rules).injected == 0)
        session_stop(session);
    else
        step_judge(session);
}

/* --- Ready ------------------------------------------------------------------------------------------------------- */

static void say_last_words(struct session *session)
{
    char words[OUTPUT_WORDS_MAX + 1];
    output_last_words(session->output, words);
    if (words[0] == '\0') {
        say_error("%s", output_is_captured(session->output) ? "it said nothing" : "its last words are above");
        return;
    }
    say_error("its last words:");
    for (char *line = words, *end; line != NULL; line = end) {
        end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        say_error("  | %s", line);
    }
}

static void run_ready_command(struct session *session)
{
    client_free(&session->ready_command);
    if (client_start(&session->ready_command, session->base, session->options->ready_command, &session->endpoint, 0,
                     true) == 0)
        return;
    say_error("can't start the --ready command: %s", strerror(errno));
    session_fail(session);
}

static void ready_command_done(struct session *session)
{
    if (session->phase != PHASE_STARTING)
        return;
    if (session->ready_command.status == 0)
        step_ask(session);
    else
        arm(session->retry, READY_AGAIN_NS);
}

/* The shim has seen the server wait on a listening socket. */
static void step_ready(struct session *session)
{
    char text[ADDRESS_TEXT_MAX];
    session->ready_known = true;
    board_watch_ready(session->board, false);
    bool known = ready_endpoint(&session->ready, &session->endpoint);
    say_detail("ready: %s", known ? endpoint_text(&session->endpoint, text) : "no address is known");
    if (session->phase != PHASE_STARTING)
        return;
    if (!known && session->options->ask != ASK_NOTHING) {
        say_error("the server is ready, and the address it listens on is not known");
        session_fail(session);
    } else if (session->options->ready_command != NULL) {
        run_ready_command(session);
    } else {
        step_ask(session);
    }
}

static void look_for_ready(struct session *session, uint64_t now_ns)
{
    uint64_t ready_ns = atomic_load(&session->board->ready_ns);
    if (!session->ready_known && ready_ns != 0 && (session->ready.seen || now_ns > ready_ns + RECORD_WITHIN_NS))
        step_ready(session);
}

static void step_never_ready(struct session *session)
{
    char text[DURATION_TEXT_MAX];
    duration_text(session->options->ready_timeout_ns, text);
    session->never_ready = true;
    if (session->ready_known)
        say_error("the --ready command did not succeed within %s", text);
    else if (unseen_has_ring(session->unseen))
        say_error("the server was not ready within %s: it uses io_uring, where a wait on a listening socket can't be "
                  "seen",
                  text);
    else
        say_error("the server was not ready within %s: it never waited on a listening socket", text);
    say_last_words(session);
    session_fail(session);
}

/* A process that the shim is not in listens: waiting for it to be ready would be in vain. */
static void look_for_unreached(struct session *session)
{
    size_t count;
    const struct unreached *unreached = attach_unreached(session->attach, &count);
    for (size_t i = 0; i < count && session->phase == PHASE_STARTING && !session->ready_known; i++)
        if (unreached[i].listens[0] != '\0') {
            say_error("%s (pid %d) listens on %s and can't be reached: %s; --backend seccomp reaches it",
                      unreached[i].exe, (int)unreached[i].pid, unreached[i].listens, unreached[i].why);
            session_fail(session);
        }
}

/* The records are read between the look and the judgement: what they tell happened before may be what was seen. */
static void look_past_the_shim(struct session *session, const struct proc *list, size_t count, bool last)
{
    bool accepts = session->phase != PHASE_STARTING && knows_accepts(session);
    unseen_look(session->unseen, list, count, accepts, last);
    drain_read(session->drain, clock_ns());
    unseen_judge(session->unseen, last);
}

/* A connection is the whole of what some probes ask for, and no record will tell of it. */
static void look_for_the_probe(struct session *session)
{
    bool waits = session->phase == PHASE_SERVING || session->phase == PHASE_JUDGING;
    if (waits && session->probe != NULL && unseen_has_connection(session->unseen))
        probe_look(session->probe);
}

/* The last moment at which all that the server has is still there. */
static void look_before_the_end(struct session *session)
{
    struct proc *list;
    ssize_t count = tree_list(false, &list);
    if (count < 0)
        return;
    look_past_the_shim(session, list, (size_t)count, true);
    free(list);
}

static void look_at_processes(struct session *session, uint64_t now_ns)
{
    struct proc *list;
    if (session->options->standalone) {
        attach_prune(session->attach);
        return;
    }
    ssize_t count = tree_list(false, &list);
    if (count < 0)
        return;
    if (session->outside == NULL)
        attach_look(session->attach, list, (size_t)count, now_ns);
    look_past_the_shim(session, list, (size_t)count, false);
    look_for_the_probe(session);
    free(list);
    look_for_unreached(session);
}

/* --- What calls for a step --------------------------------------------------------------------------------------- */

void step_start(struct session *session)
{
    session->tick_ns = TICK_BUSY_NS;
    arm(session->tick, session->tick_ns);
    session->phase = options_wait(session->options) ? PHASE_STARTING : PHASE_SERVING;
    if (session->phase == PHASE_STARTING)
        arm(session->deadline, session->options->ready_timeout_ns);
}

/* Keeps some rings in hand, so that a new thread finds one. */
static void look_after_rings(struct session *session, uint64_t now_ns)
{
    if (!session->rings_full && drain_spare(session->drain) < SPARE_RINGS)
        session->rings_full = boardfile_grow(session->file, MORE_RINGS) != 0;
    if (now_ns < session->sweep_at)
        return;
    session->sweep_at = now_ns + SWEEP_NS;
    drain_sweep(session->drain, now_ns);
}

/* How long to wait until the next tick, after one that found COUNT records. */
static uint64_t next_tick(const struct session *session, size_t count)
{
    uint64_t ns = 2 * session->tick_ns;
    if (count > TICK_MANY || session->phase == PHASE_STARTING || session->probe != NULL || session->script != NULL)
        return TICK_BUSY_NS;
    if (count > 0 && ns > TICK_STEADY_NS)
        return TICK_STEADY_NS;
    return ns > TICK_IDLE_NS ? TICK_IDLE_NS : ns;
}

/* As below, where the stacks are walked from outside. */
static void look_for_walks(struct session *session)
{
    const char *why = session->unwinder_said ? NULL : session->backend->siteless(session->outside);
    if (why == NULL)
        return;
    session->unwinder_said = true;
    if (!session->needs_sites) {
        say_note("calls without call sites: %s", why);
        return;
    }
    say_error("a rule needs call sites, and there are none: %s", why);
    session_fail(session);
}

/* A rule that needs call sites can do nothing in a process that has none. */
static void look_for_unwinder(struct session *session)
{
    uint32_t without = atomic_load(&session->board->no_unwinder);
    if (without == 0 || session->unwinder_said)
        return;
    session->unwinder_said = true;
    if (!session->needs_sites || without < atomic_load(&session->board->attached)) {
        say_note("libunwind can't be used in a process of the server, so its calls have no call sites: "
                 "they take libunwind8, and glibc 2.35 or newer");
        return;
    }
    say_error("libunwind can't be used in the server, and a rule needs call sites: they take libunwind8, and glibc "
              "2.35 or newer");
    session_fail(session);
}

static void look_at_sites(struct session *session)
{
    const char *pattern;
    if (session->sites == NULL)
        return;
    if (session->outside != NULL)
        look_for_walks(session);
    else
        look_for_unwinder(session);
    if (sites_serve(session->sites, &pattern) == 0 || session->failed)
        return;
    say_error("%s: too many functions have such a name: they make more than %d ranges of addresses", pattern,
              RANGE_MAX);
    session_fail(session);
}

void step_tick(struct session *session)
{
    uint64_t now_ns = clock_ns();
    look_at_sites(session);
    size_t count = drain_read(session->drain, now_ns);
    events_flush(session);
    if (session->outside != NULL)
        session->backend->look(session->outside);
    look_for_ready(session, now_ns);
    look_after_rings(session, now_ns);
    if (now_ns >= session->look_at) {
        session->look_at = now_ns + (session->phase == PHASE_STARTING ? LOOK_WAITING_NS : LOOK_NS);
        look_at_processes(session, now_ns);
    }
    if (session->script != NULL)
        session->script->tick(session, now_ns);
    if (session->client_done)
        step_client_done(session);
    session->tick_ns = next_tick(session, count);
    arm(session->tick, session->tick_ns);
}

/*
 * Nothing was tried, and the server's own words say why.  It may have been ready for a moment that no tick has seen: the
 * board knows.
 */
static void ended_at_start(struct session *session)
{
    int status = tree_status(&session->tree);
    char name[SIGNAL_NAME_MAX];
    bool asked = session->options->ask != ASK_NOTHING;
    drain_read(session->drain, clock_ns());
    bool ready = atomic_load(&session->board->ready_ns) != 0 && session->options->ready_command == NULL;
    const char *when = ready ? "as soon as it was ready" : "before it was ready";
    session->failed_start = true;
    session->facts.before_ready = asked && !ready;
    session->facts.asked = asked && ready;
    if (WIFSIGNALED(status))
        say_error("the server was ended by %s %s", signal_name(WTERMSIG(status), name), when);
    else
        say_error("the server ended with exit status %d %s", WEXITSTATUS(status), when);
    say_last_words(session);
}

/* Notes that the server has ended by itself. */
static void note_server_end(struct session *session)
{
    if (session->facts.server_ended)
        return;
    session->facts.server_ended = true;
    session->facts.server_status = tree_status(&session->tree);
}

/* No process of the server lives any more. */
static void step_server_gone(struct session *session)
{
    struct facts *facts = &session->facts;
    int status = tree_status(&session->tree);
    if (session->phase == PHASE_STARTING && !session->failed)
        ended_at_start(session);
    if (session->phase >= PHASE_STOPPING) {
        int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        bool ours = signal == SIGKILL || signal == session->options->stop_signal || signal == session->signal;
        facts->stopped_badly = ours ? 0 : signal;
    } else {
        note_server_end(session);
    }
    if (session->phase != PHASE_SERVING || !facts->asked) {
        step_over(session);
    } else if (facts->command) {
        if (session->client.running)
            arm(session->deadline, CLIENT_GRACE_NS);
    } else {
        drain_read(session->drain, clock_ns()); /* the answer may be there, and the record of its accept not read yet */
        note_client(session);
        step_over(session);
    }
}

static void reap(struct session *session)
{
    int status;
    siginfo_t ended = {.si_pid = 0};
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0) {
        pid_t pid = ended.si_pid;
        bool own_session = getsid(pid) != getsid(0); /* asked while there is still somebody to ask about */
        pid_t reaped = waitpid(pid, &status, WNOHANG);
        if (reaped < 0)
            return;
        if (reaped == 0 || WIFSTOPPED(status)) /* a thread that the seccomp backend holds up (run/registers.h) */
            continue;
        if (client_reaped(&session->client, pid, status))
            session->client_done = true;
        else if (client_reaped(&session->ready_command, pid, status))
            ready_command_done(session);
        else if (session->script != NULL && session->script->reaped(session, pid, status))
            continue;
        else
            tree_reaped(&session->tree, pid, status, own_session);
    }
}

/*
 * Whether no process of the server lives any more.  The last one may have ended after the statuses were collected, so
 * that is done once more: its status is the server's.
 */
static bool server_is_gone(struct session *session)
{
    if (tree_lives(&session->tree))
        return false;
    reap(session);
    return true;
}

/* The server's end is looked at first: a client that failed because the server died has nothing to tell. */
void step_child(struct session *session)
{
    reap(session);
    if (session->options->standalone)
        return;
    if (session->phase == PHASE_OVER)
        return;
    if (!session->facts.server_ended && server_is_gone(session))
        step_server_gone(session);
    if (session->client_done && session->phase == PHASE_SERVING)
        step_client_done(session);
    if (session->phase == PHASE_STOPPING && session->facts.server_ended && !session->client.running)
        step_over(session); /* interrupted while a client was left of a run that had lost its server */
}

/* Passes SIGNAL on.  Where a client was to tell how the run ends, the signal does now. */
void step_signal(struct session *session, int signal)
{
    bool again = signal == SIGINT && session->signal == SIGINT;
    if (session->options->standalone) {
        step_over(session);
        return;
    }
    tree_stop(&session->tree, signal);
    client_signal(&session->client, signal);
    client_signal(&session->ready_command, signal);
    session->signal = signal;
    if (again) {
        step_kill(session);
        return;
    }
    if (!options_wait(session->options) || session->phase >= PHASE_STOPPING)
        return;
    session->facts.interrupted = true;
    event_del(session->for_timer);
    event_del(session->retry);
    if (session->probe != NULL)
        probe_stop(session->probe);
    session->phase = PHASE_STOPPING;
    arm(session->deadline, session->options->stop_timeout_ns);
    if (session->facts.server_ended && !session->client.running)
        step_over(session);
}

/* Time is up for the client or the probe. */
static void client_overdue(struct session *session)
{
    session->client_timed_out = !session->facts.server_ended;
    if (session->facts.command) {
        client_expire(&session->client);
        return;
    }
    if (session->probe != NULL)
        probe_stop(session->probe);
    step_client_done(session);
}

void step_deadline(struct session *session)
{
    switch (session->phase) {
    case PHASE_STARTING:
        step_never_ready(session);
        break;
    case PHASE_SERVING:
        client_overdue(session);
        break;
    case PHASE_JUDGING:
        session_stop(session);
        break;
    case PHASE_STOPPING:
        say_detail("it did not stop in time; killing it");
        step_kill(session);
        break;
    case PHASE_KILLING:
    case PHASE_OVER:
        break;
    }
}

void step_for_over(struct session *session)
{
    session->for_over = true;
    if (session->phase == PHASE_SERVING && session->facts.asked)
        client_overdue(session);
    else
        session_stop(session);
}

void step_retry(struct session *session)
{
    if (session->phase == PHASE_KILLING)
        kill_again(session);
    else if (session->phase == PHASE_STARTING)
        run_ready_command(session);
}
