/*
 * session.c - makes everything that a run needs, runs the loop, takes everything down again, and reports.
 */
#include "run/session.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control/found.h"
#include "control/server.h"
#include "run/clock.h"
#include "run/command.h"
#include "run/environment.h"
#include "run/run.h"
#include "run/say.h"
#include "run/spawn.h"
#include "run/summary.h"
#include "version.h"

static const int passed_on[SESSION_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

enum { LAST_KILLS = 1000 }; /* rounds of 10 ms in which what a client left behind has to go */

/* --- Callbacks --------------------------------------------------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    step_tick(context);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    step_deadline(context);
}

static void on_for(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    step_for_over(context);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    step_retry(context);
}

static void on_child(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    step_child(context);
}

static void on_signal(evutil_socket_t signal, short what, void *context)
{
    (void)what;
    step_signal(context, (int)signal);
}

static bool ring_owner_gone(void *context, uint32_t pid, uint32_t tid)
{
    (void)context;
    return !proc_thread_lives((pid_t)pid, (pid_t)tid);
}

/* --- Making it --------------------------------------------------------------------------------------------------- */

/* The usual clock of libevent is the kernel's coarse one, in steps of 4 ms: a tick of 1 ms would take 5. */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
        base = event_base_new_with_config(config);
    if (config != NULL)
        event_config_free(config);
    return base;
}

static int open_loop(struct session *session)
{
    session->base = new_base();
    if (session->base == NULL)
        return -1;
    session->tick = evtimer_new(session->base, on_tick, session);
    session->deadline = evtimer_new(session->base, on_deadline, session);
    session->for_timer = evtimer_new(session->base, on_for, session);
    session->retry = evtimer_new(session->base, on_retry, session);
    session->child = evsignal_new(session->base, SIGCHLD, on_child, session);
    if (session->tick == NULL || session->deadline == NULL || session->for_timer == NULL || session->retry == NULL ||
        session->child == NULL || event_add(session->child, NULL) != 0)
        return -1;
    for (size_t i = 0; i < SESSION_SIGNALS; i++) {
        if (spawn_was_ignored(passed_on[i]))
            continue;
        session->signals[i] = evsignal_new(session->base, passed_on[i], on_signal, session);
        if (session->signals[i] == NULL || event_add(session->signals[i], NULL) != 0)
            return -1;
    }
    return 0;
}

/* Whether -e trace= names any call; if none, a trace shows all. */
static bool names_calls(const struct plan *plan)
{
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (plan_traces(plan, call))
            return true;
    return false;
}

/* Arguments are shown of what is recorded; of a call that is in no plan any more, only if it is traced. */
void session_wants(struct session *session)
{
    unsigned char *wanted = session->board->wanted;
    for (enum call call = 0; session->options->live && call < CALL_COUNT; call++)
        wanted[call] = (unsigned char)(wanted[call] & (WANT_RECORD | WANT_RULE) ? wanted[call] | WANT_ARGUMENTS
                                                                                : wanted[call] & ~WANT_ARGUMENTS);
}

/* The records that a run needs for what its options ask for. */
static void want_by_options(struct session *session)
{
    const struct options *options = session->options;
    bool named = names_calls(options->plan), all = !named && (options->trace_path != NULL || options->live);
    static const enum call judged[] = {CALL_accept, CALL_accept4, CALL_listen};
    unsigned char *wanted = session->board->wanted;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        session->chosen[call] = !named || plan_traces(options->plan, call);
        if (all || plan_traces(options->plan, call))
            wanted[call] |= WANT_RECORD;
    }
    session_wants(session);
    if (options->ask != ASK_NOTHING)
        for (size_t i = 0; i < sizeof judged / sizeof judged[0]; i++)
            wanted[judged[i]] |= WANT_RECORD;
}

static void want_by_script(struct session *session)
{
    for (const enum call *call = session->script->calls; *call != CALL_NONE; call++)
        session->board->wanted[*call] |= WANT_RECORD;
    for (enum call call = 0; call < CALL_COUNT; call++)
        session->chosen[call] = true;
}

/* Which calls the shim records besides those that a rule acts on. */
static void want_records(struct session *session)
{
    unsigned char *wanted = session->board->wanted;
    if (session->script != NULL && session->script->calls != NULL)
        want_by_script(session);
    else
        want_by_options(session);
    wanted[CALL_io_uring_setup] |= WANT_RECORD; /* it is said of who uses it */
    if (session->board->sites)
        for (enum call call = 0; call < CALL_COUNT; call++)
            if (wanted[call] & (WANT_RECORD | WANT_RULE))
                wanted[call] |= WANT_SITE;
}

static void on_breath(void *context)
{
    struct session *session = context;
    drain_collect(session->drain);
}

/* Call sites under the plan SET, where there are any. */
static int make_sites(struct session *session, const struct rule_set *set)
{
    if (!set->sites)
        return 0;
    session->sites = sites_new(session->board, set, on_breath, session);
    if (session->sites == NULL) {
        say_error("no memory for call sites");
        return -1;
    }
    if (session->trace != NULL)
        jsonl_sites(session->trace, session->sites);
    return 0;
}

/* Why no rule that is added now can ask for call sites, or NULL. */
static const char *why_no_sites(void *context)
{
    const struct session *session = context;
    if (session->sites == NULL)
        return "this session has no call sites, which caller=, stack=, site= and per=site need: start it with --sites";
    if (session->outside != NULL)
        return session->backend->siteless(session->outside);
    uint32_t without = atomic_load(&session->board->no_unwinder);
    if (without > 0 && without >= atomic_load(&session->board->attached))
        return "libunwind can't be used in the server, so its calls have no call sites: they take libunwind8, and "
               "glibc 2.35 or newer";
    return NULL;
}

static int pattern_number(void *context, const char *text)
{
    const struct session *session = context;
    return sites_pattern(session->sites, text);
}

/* Whether the backend can't do RULE, which was added to a session that runs. */
static bool is_refused(void *context, const struct rule *rule, FILE *words)
{
    const struct session *session = context;
    const char *why = session->backend->refuses != NULL ? session->backend->refuses(rule) : NULL;
    if (why == NULL)
        return session->backend->lacks != NULL && session->backend->lacks(session->outside, rule, words);
    fprintf(words, "the %s backend can't do that: %s", session->backend->name, why);
    return true;
}

static int make_board(struct session *session)
{
    char shim[BOARD_PATH_MAX];
    struct rule_set *set = malloc(sizeof *set);
    int result = -1;
    const struct rulebook_session for_rules = {
        .why_not = why_no_sites, .pattern = pattern_number, .refuses = is_refused, .context = session};
    if (set == NULL) {
        say_error("no memory for the plan");
    } else if ((session->rules = rulebook_new(session->options->plan, session->options->strace_counts)) == NULL) {
        say_error("can't compile the plan: %s", strerror(errno));
    } else if (session->backend->prepare(shim) == 0) {
        rulebook_begin(session->rules, set);
        session->needs_sites = set->sites;
        set->sites |= session->options->sites;
        session->file = boardfile_new(set, session->start_ns, shim, !session->options->standalone);
    }
    if (session->file != NULL) {
        session->board = boardfile_board(session->file);
        rulebook_set_board(session->rules, session->board, &for_rules);
        board_watch_ready(session->board, true);
        want_records(session);
        if (session->script != NULL)
            session->script->made(session);
        result = make_sites(session, set);
    }
    free(set);
    return result;
}

/* Says and returns whether the plan asks for what the backend can't do. */
static bool plan_is_refused(const struct session *session)
{
    uint32_t stamp = atomic_load(&session->board->plan_stamp);
    const struct rule *rules = board_rules(session->board, stamp);
    for (uint32_t i = 0; i < session->board->rule_counts[stamp % PLANS] && session->backend->refuses != NULL; i++) {
        const char *why = session->backend->refuses(&rules[i]);
        if (why == NULL)
            continue;
        say_error("rule %u, %s: the %s backend can't do that: %s", rules[i].number,
                  board_string(session->board, rules[i].text), session->backend->name, why);
        return true;
    }
    return false;
}

/* Before anything is started. */
static int open_backend(struct session *session)
{
    if (session->backend->open == NULL)
        return 0;
    if (plan_is_refused(session))
        return -1;
    session->outside = session->backend->open(session->board, &session->gate);
    return session->outside != NULL ? 0 : -1;
}

static int make_readers(struct session *session)
{
    struct drain_ops ops = {
        .seen = event_seen,
        .ordered = session->trace != NULL || session->options->live ? event_ordered : NULL,
        .gone = ring_owner_gone,
        .context = session,
    };
    session->drain = drain_new(session->board, &ops);
    session->attach = attach_new(boardfile_path(session->file));
    session->unseen = unseen_new(session->outside != NULL);
    if (session->drain == NULL || session->attach == NULL || session->unseen == NULL || open_loop(session) != 0) {
        say_error("can't set up the session: %s", strerror(errno));
        return -1;
    }
    if (session->options->standalone)
        return 0;
    session->output = output_new(session->base);
    if (session->output == NULL) {
        say_error("can't make pipes for the server's output: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static json_t *strings_json(char *const *strings)
{
    json_t *list = json_array();
    for (; strings != NULL && *strings != NULL; strings++)
        json_array_append_new(list, jsonl_text(*strings));
    return list;
}

static json_t *plan_json(const struct plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan_rule_count(plan); i++)
        json_array_append_new(list, jsonl_text(plan_rule_text(plan, i)));
    return list;
}

/* JSON numbers end at 2^63 - 1 in most readers, ours too; a seed above that is a string. */
static json_t *seed_json(uint64_t seed)
{
    char text[24];
    if (seed <= INT64_MAX)
        return json_integer((json_int_t)seed);
    snprintf(text, sizeof text, "%" PRIu64, seed);
    return json_string(text);
}

/* The first line of a trace. */
static json_t *session_json(const struct session *session)
{
    char started[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:s, s:s}", "type", "session", "snag", SNAG_VERSION, "format", 1,
                     "argv", strings_json(session->options->server), "plan", plan_json(session->options->plan), "seed",
                     seed_json(plan_seed(session->options->plan)), "backend", session->backend->name, "started",
                     started);
}

/* What can be known to fail at the end is tried before the server starts. */
static int open_files(struct session *session)
{
    const char *trace = session->options->trace_path, *summary = session->options->summary_path;
    if (summary != NULL && summary_check(summary) != 0) {
        say_error("can't write the summary %s: %s", summary, strerror(errno));
        return -1;
    }
    if (trace == NULL)
        return 0;
    session->trace = jsonl_open(trace, session->start_ns);
    if (session->trace != NULL) {
        jsonl_object(session->trace, session_json(session));
        if (jsonl_flush(session->trace) == 0)
            return 0;
    }
    say_error("can't write the trace %s: %s", trace, strerror(errno));
    return -1;
}

/* --- Running it -------------------------------------------------------------------------------------------------- */

static pid_t spawn_server(struct session *session, const char *program)
{
    char *sets[BACKEND_VARIABLES];
    char **env = NULL;
    pid_t pid = -1;
    if (session->backend->variables(program, session->board->shim_path, boardfile_path(session->file), sets) == 0)
        env = spawn_environment(environ, sets, BACKEND_VARIABLES);
    if (env != NULL) {
        struct spawn spawn = {.argv = session->options->server,
                              .env = env,
                              .in = -1,
                              .out = output_out(session->output),
                              .err = output_err(session->output),
                              .gate = session->outside != NULL ? &session->gate : NULL,
                              .born = session->script != NULL ? session->script->born : NULL,
                              .context = session};
        pid = spawn_start(&spawn);
    }
    int saved = errno;
    free(env);
    for (size_t i = 0; i < BACKEND_VARIABLES; i++)
        free(sets[i]);
    errno = saved;
    return pid;
}

/* Starts the server.  Returns -1, or the exit status if it can't be. */
static int start_server(struct session *session, const struct reach *reach)
{
    uint64_t now_ns = clock_ns();
    if (tree_adopt() != 0) {
        say_error("can't become the subreaper: %s", strerror(errno));
        return EXIT_SNAG;
    }
    session->tree.first = spawn_server(session, reach->program);
    if (session->tree.first < 0) {
        int error = errno;
        session->tree.first = 0;
        if (session->gate.error != 0) {
            say_error("%s can't be put under a filter: %s (%s)", session->options->server[0],
                      session->backend->gate_fault(error), strerror(error));
            return EXIT_SNAG;
        }
        say_error("%s: %s", session->options->server[0], strerror(error));
        if (error == EAGAIN || error == ENOMEM)
            return EXIT_SNAG; /* it was fork that failed */
        return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANT_EXECUTE;
    }
    if (session->outside == NULL)
        attach_started(session->attach, session->tree.first, reach->path, now_ns);
    output_started(session->output);
    say_detail("started %s as process %d", reach->path, (int)session->tree.first);
    return -1;
}

static void close_outside(struct session *session)
{
    if (session->outside != NULL)
        session->backend->close(session->outside);
    session->outside = NULL;
}

/* Kills what is still there (a client's children, mostly) and reads the last records and words. */
static void wind_up(struct session *session)
{
    struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < LAST_KILLS && !session->options->standalone && tree_kill(&session->tree) > 0; i++)
        nanosleep(&moment, NULL);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    close_outside(session);
    drain_finish(session->drain);
    if (session->backend->open == NULL)
        attach_finish(session->attach);
    if (session->output != NULL)
        output_finish(session->output);
    events_flush(session);
}

/* --- Its result -------------------------------------------------------------------------------------------------- */

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Says and returns whether the shim is not in what the rules may have been meant for. */
static bool was_in_vain(struct session *session)
{
    size_t count;
    const struct unreached *unreached = attach_unreached(session->attach, &count);
    if (session->options->standalone)
        return false;
    if (atomic_load(&session->board->attached) == 0) {
        say_error("nothing was reached: the shim got into no process of the server");
        return true;
    }
    if (count == 0 || rulebook_count(session->rules) == 0 || rulebook_sums(session->rules).matched > 0)
        return false;
    say_error("no rule matched a call, and the shim is not in %s", unreached[0].exe);
    return true;
}

/* The status of a run in which snag did its part. */
static int outcome(const struct session *session)
{
    const struct facts *facts = &session->facts;
    if (session->options->standalone)
        return 0;
    int server = exit_code(tree_status(&session->tree));
    int client = facts->client_timed_out ? EXIT_CLIENT_TIMEOUT
                 : facts->command        ? exit_code(facts->client_status)
                                         : !facts->client_ok;
    if (session->failed_start)
        return server != 0 ? server : EXIT_SNAG;
    if (facts->interrupted)
        return EXIT_SIGNAL + session->signal;
    if (!facts->asked)
        return session->for_over ? 0 : server;
    /* A server that ended well before its client was served is no success of the client's. */
    return facts->server_ended && server != 0 ? server : client;
}

static void fill_summary(struct session *session, struct summary *out, const char *address)
{
    *out = (struct summary){
        .rules = session->rules,
        .board = session->board,
        .sites = session->sites,
        .facts = &session->facts,
        .calls = session->calls,
        .lost = drain_lost(session->drain),
        .ready = session->ready_known,
        .ready_pid = session->ready.waited.pid,
        .address = address,
        .ended = session->tree.first_ended,
        .status = tree_status(&session->tree),
        .chosen = session->chosen,
        .stacks = session->options->stacks && session->trace == NULL,
    };
    if (out->ready)
        out->ready_ms = (atomic_load(&session->board->ready_ns) - session->start_ns) / NS_PER_MS;
    out->unreached = attach_unreached(session->attach, &out->unreached_count);
    out->unseen = unseen_programs(session->unseen, &out->unseen_count);
}

/* Writes the summary's two files.  Returns -1, having said why, if one can't be written. */
static int write_files(struct session *session, const struct summary *summary)
{
    const char *path = session->options->summary_path;
    json_t *object = summary_json(summary);
    int result = 0;
    if (path != NULL && summary_write(path, object) != 0) {
        say_error("can't write the summary %s: %s", path, strerror(errno));
        result = -1;
    }
    if (session->trace != NULL)
        jsonl_object(session->trace, json_incref(object));
    json_decref(object);
    if (jsonl_close(session->trace) != 0 && !session->unwritable) {
        say_error("can't write the trace %s: %s", session->options->trace_path, strerror(errno));
        result = -1;
    }
    session->trace = NULL;
    return result;
}

/* Says what happened, writes it down, and returns the exit status. */
static int report(struct session *session)
{
    char evidence[VERDICT_TEXT_MAX], address[ADDRESS_TEXT_MAX];
    struct summary summary;
    fill_summary(session, &summary, endpoint_text(&session->endpoint, address));
    session->facts.injected = rulebook_sums(session->rules).injected;
    if (session->script != NULL) {
        summary.evidence = "";
        return write_files(session, &summary) == 0 && !session->failed ? 0 : EXIT_SNAG;
    }
    if (!session->failed)
        summary.verdict = verdict_judge(&session->facts, evidence);
    summary.evidence = summary.verdict != VERDICT_NONE ? evidence : "";
    summary_say(&summary);
    if (session->options->standalone)
        say_note("%u program%s attached", atomic_load(&session->board->attached),
                 atomic_load(&session->board->attached) == 1 ? "" : "s");
    else if (output_dropped(session->output) > 0)
        say_note("%ju calls were not printed: what reads the trace was too slow",
                 (uintmax_t)output_dropped(session->output));
    bool written = write_files(session, &summary) == 0;
    if (!session->failed && !session->facts.interrupted && was_in_vain(session))
        return EXIT_SNAG;
    if (session->failed || !written)
        return EXIT_SNAG;
    if (session->options->strict && rulebook_idle(session->rules) > 0) {
        say_error("--strict: a rule never matched or never fired");
        return EXIT_SNAG;
    }
    return outcome(session);
}

/* --- Taking it down ---------------------------------------------------------------------------------------------- */

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

static void session_close(struct session *session)
{
    server_close(session->control);
    close_outside(session);
    probe_free(session->probe);
    client_free(&session->client);
    client_free(&session->ready_command);
    output_free(session->output);
    attach_free(session->attach);
    unseen_free(session->unseen);
    drain_free(session->drain);
    jsonl_close(session->trace);
    sites_free(session->sites);
    rulebook_free(session->rules);
    boardfile_free(session->file);
    for (size_t i = 0; i < SESSION_SIGNALS; i++)
        free_event(session->signals[i]);
    free_event(session->child);
    free_event(session->retry);
    free_event(session->for_timer);
    free_event(session->deadline);
    free_event(session->tick);
    if (session->base != NULL)
        event_base_free(session->base);
    libevent_global_shutdown();
}

/* Says and returns whether we are ourselves under a session: its shim is in us, and the server would be under both. */
static bool is_nested(void)
{
    const char *board = getenv("SNAG_BOARD");
    if (board == NULL || !boardfile_is_live(board))
        return false;
    say_error("this snag run was started by a server that is itself under snag run; a server can be under one of them "
              "alone: leave the other out");
    return true;
}

/* Names are this user's to give, and each to one session at a time. */
static int check_name(const struct session *session)
{
    const char *name = session->options->name;
    struct found found;
    if (name == NULL || !found_session(name, &found))
        return 0;
    say_error("--name %s: process %d has a session of that name", name, (int)found.pid);
    found_close(&found);
    return -1;
}

/* A run can do without, if it must. */
static int open_control(struct session *session)
{
    if (command_open(session) == 0)
        return 0;
    int error = errno;
    if (session->options->standalone)
        say_error("can't open the control socket: %s", strerror(error));
    else
        say_note("snag ctl won't find this session: can't open the control socket: %s", strerror(error));
    return session->options->standalone ? -1 : 0;
}

/* Says how a server gets into the session.  Returns -1, or the exit status. */
static int hand_out(struct session *session)
{
    const char *name = session->options->name;
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (environment_print(session->options->format, name != NULL ? name : pid, session->board->shim_path,
                          boardfile_path(session->file), stdout) == 0)
        return -1;
    say_error("can't print the environment: %s", strerror(errno));
    return EXIT_SNAG;
}

/* What goes on after the session is to cost nothing: no rule, no record. */
static void close_board(struct session *session)
{
    volatile unsigned char *wanted = session->board->wanted;
    for (size_t i = 0; session->options->standalone && i < sizeof session->board->wanted; i++)
        wanted[i] = 0;
}

/* Chooses the backend, and looks at the server with its eyes. */
static void choose_backend(struct session *session, struct reach *reach)
{
    const char *wanted = session->options->backend, *server = session->options->server[0];
    session->backend = strcmp(wanted, "seccomp") == 0 ? &backend_seccomp : &backend_preload;
    session->backend->reach(server, reach);
    if (strcmp(wanted, "auto") != 0 || (!reach->by_file && !reach->siteless))
        return;
    struct reach *outside = malloc(sizeof *outside);
    if (outside == NULL)
        return;
    backend_seccomp.reach(server, outside);
    if (outside->status == 0) {
        say_note("%s; taking the seccomp backend", reach->why);
        session->backend = &backend_seccomp;
        *reach = *outside;
    }
    free(outside);
}

static int run_session(struct session *session)
{
    struct reach reach = {.status = 0};
    if (is_nested())
        return EXIT_SNAG;
    if (session->options->standalone)
        session->backend = &backend_preload;
    else
        choose_backend(session, &reach);
    if (!session->options->standalone && reach.status != 0) {
        say_error("%s", reach.why);
        return reach.status;
    }
    boardfile_clean();
    if (check_name(session) != 0 || open_files(session) != 0 || make_board(session) != 0 ||
        open_backend(session) != 0 || make_readers(session) != 0 || open_control(session) != 0)
        return EXIT_SNAG;
    int status = session->options->standalone ? hand_out(session) : start_server(session, &reach);
    if (status != -1)
        return status;
    step_start(session);
    event_base_dispatch(session->base);
    close_board(session);
    wind_up(session);
    if (session->script != NULL)
        session->script->over(session);
    return report(session);
}

int session_play(const struct options *options, const struct script *script)
{
    struct session session = {
        .options = options, .script = script, .backend = &backend_preload, .start_ns = clock_ns()};
    spawn_remember_signals();
    signal(SIGPIPE, SIG_IGN);
    int status = run_session(&session);
    session_close(&session);
    return status;
}

int session_run(const struct options *options)
{
    return session_play(options, NULL);
}
