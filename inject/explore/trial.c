/*
 * trial.c - one case from its start to its end, as a script of a session (run/session.h).
 *
 *     WARM -> CALM -> FAULT -> AFTER -> QUIET (-> FAULT once more) -> the server is stopped
 *
 * WARM    a client is served, so that what a server does once is done, and we know that it is this server that answers
 * CALM    until its descriptors are no longer in motion: what there is now is what there is to be afterwards
 * FAULT   the rule is let loose, or the limit pulled down, and a client comes
 * AFTER   the fault is over: the client that waited is served with the server left alone, then another one, or not
 * QUIET   all clients are gone: which descriptors are still there?
 *
 * A case of the nth call has its rule loose from the start, and goes from ready to AFTER.
 *
 * The rules on the board are paused until they are armed, and again from the end of the fault: one store for all processes
 * and threads at once.
 */
#include "explore/trial.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explore/crash.h"
#include "explore/measure.h"
#include "explore/oracle.h"
#include "explore/visitor.h"
#include "explore/watchdog.h"
#include "run/clock.h"
#include "run/say.h"
#include "run/session.h"
#include "run/summary.h"

#define CALM_NS (4 * NS_PER_MS) /* that descriptors have to stay the same */
#define CALM_AT_MOST_NS (300 * NS_PER_MS)
#define FIRE_WITHIN_NS NS_PER_S        /* for a fault to find its first call */
#define NUDGE_NS (50 * NS_PER_MS)      /* between clients, while none is needed to wait */
#define FILLER_NS (NS_PER_MS / 2)      /* between clients who take descriptors */
#define WOKEN_NS (50 * NS_PER_MS)      /* who is served so soon after another one came was woken by it */
#define SHED_LATE_NS (100 * NS_PER_MS) /* after the fault, for a server that was on its way to turn a client away */
#define SAMPLE_NS (10 * NS_PER_MS)     /* between samples, at first; doubled when they fill their room */
#define CROWD_NS (20 * NS_PER_MS)      /* between two counts of the processes */
#define REFUSED_AGAIN_NS (20 * NS_PER_MS)
#define RECHECK_NS (20 * NS_PER_MS)
#define RECORDS_NS (5 * NS_PER_MS) /* for the last records to be read */

enum {
    VICTIMS = CROWD_MAX,
    BURST_CLIENTS = 5, /* that come together, where each fault takes one */
    FILLERS_WAITING = 8,
    FILLERS_MAX = 1024, /* clients that hold descriptors in the server */
    TRACE_MAX = 5000,   /* calls in a case's trace */
    LEAK_LEAST = 10,    /* descriptors */
};

enum step { STEP_START, STEP_WARM, STEP_CALM, STEP_FAULT, STEP_AFTER, STEP_QUIET, STEP_STOPPED };

struct limit_taken {
    pid_t pid;
    struct rlimit old;
};

struct trial {
    const struct options *options;
    const struct fault_case *item;
    const struct trial_limits *limits;
    enum trial_aim aim;
    struct measures *out;
    struct session *session;
    struct crash_watch *crash; /* NULL: none */

    enum step step;
    uint64_t step_ns; /* when it began */
    struct endpoint endpoint, listeners[MEASURES_LISTENERS];
    struct visitors *visitors;
    size_t since;       /* number of the first client of the fault, ... */
    size_t after;       /* ... and of the first one that came when it was over */
    uint64_t last_came; /* when the last client did */
    int warm;           /* number of the client of WARM */
    size_t walk;        /* baseline: the listener whose turn it is */

    struct crowd crowd;
    struct logs logs;
    uint64_t released_ns; /* when the fault was over */
    uint64_t lines;       /* of the output, when the fault began */
    unsigned descriptors, last_descriptors;
    uint64_t changed_ns; /* when they changed last */
    struct limit_taken limited[CROWD_MAX];
    size_t limited_count;

    struct {
        pid_t pid, parent;
        bool starter;      /* it attached before the server was ready */
    } families[CROWD_MAX]; /* processes that attached */
    size_t family_count;
    pid_t victims[VICTIMS]; /* processes that met the fault */
    size_t victim_count;
    uint64_t failed;        /* so far, for the time line */
    uint64_t struck, spent; /* in this round, by the records: faults that were delivered; those that found nothing */
    bool counted;           /* the tally of this round is in the figures */
    uint32_t accepted;
    uint64_t sample_ns, sampled_ns, crowd_looked_ns, rechecked_ns;
};

static struct trial *trial_of(struct session *session)
{
    return session->script->context;
}

static void enter(struct trial *trial, enum step step, uint64_t now_ns)
{
    trial->step = step;
    trial->step_ns = now_ns;
}

static uint64_t in_step(const struct trial *trial, uint64_t now_ns)
{
    return now_ns > trial->step_ns ? now_ns - trial->step_ns : 0;
}

static struct tally *tally(const struct trial *trial)
{
    return board_tally(trial->session->board, 0);
}

static uint64_t injected_now(const struct trial *trial)
{
    return atomic_load(&tally(trial)->injected);
}

/*
 * A worker that ended before anybody looked at it: its parent is still there.  (One that makes way for its child, as daemons
 * do, has a parent that makes way as well.)
 */
static bool ended_unseen(const struct trial *trial, pid_t pid)
{
    struct proc now;
    if (proc_read(pid, &now) == 0 && now.state != 'Z')
        return false;
    for (size_t i = 0; i < trial->family_count; i++)
        if (trial->families[i].pid == pid)
            return crowd_has(&trial->crowd, trial->families[i].parent);
    return false;
}

static bool has_ended(const struct trial *trial, pid_t pid, int *status)
{
    *status = -1;
    return pid != trial->session->tree.first && (crowd_ended(&trial->crowd, pid, status) || ended_unseen(trial, pid));
}

static bool is_starter(const struct trial *trial, pid_t pid)
{
    for (size_t i = 0; i < trial->family_count; i++)
        if (trial->families[i].pid == pid)
            return trial->families[i].starter;
    return false;
}

/* What a server's start uses and is done with, as the commands of a shell script: control has them too. */
static void count_starters(struct trial *trial)
{
    int status;
    trial->out->starters_ended = 0;
    for (size_t i = 0; i < trial->family_count; i++)
        trial->out->starters_ended += trial->families[i].starter && has_ended(trial, trial->families[i].pid, &status);
}

/* Processes that met the fault and did not see its end; those that are new may have taken their place. */
static void count_workers(struct trial *trial)
{
    struct measures *out = trial->out;
    out->worker_status = -1;
    out->workers_ended = out->starters_met = 0;
    for (size_t i = 0; i < trial->victim_count; i++) {
        int status;
        if (!has_ended(trial, trial->victims[i], &status))
            continue;
        out->workers_ended++;
        out->starters_met += is_starter(trial, trial->victims[i]);
        if (status != -1 && (out->worker_status == -1 || WIFSIGNALED(status)))
            out->worker_status = status;
    }
}

static void count_new(struct trial *trial)
{
    struct crowd now;
    crowd_look(&now);
    trial->out->workers_new = 0;
    for (size_t i = 0; i < now.count; i++)
        if (!crowd_has(&trial->crowd, now.list[i].pid))
            trial->out->workers_new++;
    crowd_close(&now);
}

/* The server is done with: who of it is still there is looked at before it is asked to go. */
static void finish(struct trial *trial)
{
    if (trial->out->armed) {
        count_workers(trial);
        count_starters(trial);
        count_new(trial);
    }
    enter(trial, STEP_STOPPED, clock_ns());
    session_stop(trial->session);
}

/* What is not looked at is said, not passed over. */
static void note(struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct trial *trial, const char *format, ...)
{
    char *text = trial->out->note, line[MEASURES_LINE];
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (strstr(text, line) == NULL)
        snprintf(text + length, sizeof trial->out->note - length, "%s%s", length > 0 ? "; " : "", line);
}

static void note_crowd(struct trial *trial)
{
    const struct crowd *crowd = &trial->crowd;
    if (crowd->total > crowd->count)
        note(trial, "of %zu processes %zu were looked at", crowd->total, crowd->count);
    if (crowd->thread_total > crowd->thread_count)
        note(trial, "of %zu threads %zu were looked at", crowd->thread_total, crowd->thread_count);
    if (trial->logs.total > trial->logs.count)
        note(trial, "of %zu files that it writes %zu were looked at", trial->logs.total, trial->logs.count);
}

static int come(struct trial *trial, bool stays)
{
    trial->last_came = clock_ns();
    int number = visitors_start(trial->visitors, stays);
    if (number < 0 && errno == ENOSPC) {
        note(trial, "no more than %d clients came", VISITORS_MAX);
        errno = ENOSPC;
    }
    if (number < 0 && errno != ENOSPC) {
        say_error("can't start a client: %s", strerror(errno));
        session_fail(trial->session);
    }
    return number;
}

/* --- The time line ----------------------------------------------------------------------------------------------- */

static uint64_t crowd_sum(const struct crowd *crowd)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < crowd->count; i++)
        sum += process_cpu(crowd->list[i].pid);
    return sum;
}

/* Every second sample makes room for as many later ones. */
static void thin_out(struct trial *trial)
{
    struct measures *out = trial->out;
    for (uint32_t i = 0; i < MEASURES_SAMPLES / 2; i++)
        out->samples[i] = out->samples[2 * i];
    out->sample_count = MEASURES_SAMPLES / 2;
    trial->sample_ns *= 2;
}

static void take_sample(struct trial *trial, uint64_t now_ns, bool at_once)
{
    struct measures *out = trial->out;
    if (trial->visitors == NULL || (!at_once && now_ns < trial->sampled_ns + trial->sample_ns))
        return;
    if (out->sample_count == MEASURES_SAMPLES)
        thin_out(trial);
    trial->sampled_ns = now_ns;
    out->samples[out->sample_count++] = (struct sample){
        .ms = (uint32_t)((now_ns - trial->session->start_ns) / NS_PER_MS),
        .cpu_us = crowd_sum(&trial->crowd) / 1000,
        .failed = trial->failed,
        .accepted = trial->accepted,
        .waiting = (uint32_t)visitors_with(trial->visitors, 0, FATE_WAITING),
    };
}

/* --- Real exhaustion --------------------------------------------------------------------------------------------- */

/* A process that only looks after others is let alone: it is a worker that is to run out. */
static bool is_to_run_out(const struct trial *trial, pid_t pid)
{
    if (trial->crowd.count == 1 || pid != trial->session->tree.first)
        return true;
    for (size_t i = 0; i < trial->victim_count; i++)
        if (trial->victims[i] == pid)
            return true;
    return false;
}

static bool is_gone(int error)
{
    return error == ENOENT || error == ESRCH;
}

static void note_limit_error(struct trial *trial, pid_t pid)
{
    snprintf(trial->out->limit_error, sizeof trial->out->limit_error, "process %d: %s%s", (int)pid, strerror(errno),
             errno == EPERM ? " (it runs as another user, and that needs CAP_SYS_RESOURCE)" : "");
}

/*
 * poll(2) fails with EINVAL below the highest descriptor, so that is the least that is honest.  A child that has ended since it
 * was listed, and one that gave up its right to open any (sshd's), has nothing to be taken away.
 */
static void take_limit(struct trial *trial, pid_t pid)
{
    unsigned count;
    int highest = process_descriptors(pid, &count);
    struct limit_taken *taken = &trial->limited[trial->limited_count];
    if (!is_to_run_out(trial, pid) || (highest < 0 && is_gone(errno)))
        return;
    if (highest < 0) {
        note_limit_error(trial, pid);
        return;
    }
    int result = limit_change(pid, NULL, &taken->old);
    if (result == 0 && taken->old.rlim_max <= (rlim_t)highest)
        return;
    struct rlimit low = {.rlim_cur = (rlim_t)highest + 1, .rlim_max = taken->old.rlim_max};
    taken->pid = pid;
    if (result == 0)
        result = limit_change(pid, &low, NULL);
    if (result == 0)
        trial->limited_count++;
    else if (!is_gone(errno))
        note_limit_error(trial, pid);
}

static void give_limits_back(struct trial *trial)
{
    for (size_t i = 0; i < trial->limited_count; i++)
        limit_change(trial->limited[i].pid, &trial->limited[i].old, NULL);
    trial->limited_count = 0;
}

/* --- The fault --------------------------------------------------------------------------------------------------- */

/* A blocking accept is in the tally as soon as it is entered, and in a record when it is over. */
static uint64_t struck_now(const struct trial *trial)
{
    return drain_lost(trial->session->drain) > 0 ? injected_now(trial) : trial->struck;
}

static void reset_tally(struct trial *trial)
{
    struct tally *counts = tally(trial);
    atomic_store(&counts->matched, 0);
    atomic_store(&counts->injected, 0);
    atomic_store(&counts->missed, 0);
    atomic_store(&counts->yielded, 0);
}

static void arm(struct trial *trial, uint64_t now_ns)
{
    struct measures *out = trial->out;
    enter(trial, STEP_FAULT, now_ns);
    if (out->rounds == 0) {
        trial->since = visitors_count(trial->visitors);
        out->armed = true;
        out->armed_ms = (now_ns - trial->session->start_ns) / NS_PER_MS;
        crowd_close(&trial->crowd);
        crowd_look(&trial->crowd);
        logs_look(&trial->logs, &trial->crowd);
        note_crowd(trial);
        trial->lines = output_lines(trial->session->output);
        out->descriptors = trial->descriptors;
    }
    out->room[out->rounds] = crowd_room(&trial->crowd);
    trial->struck = trial->spent = 0;
    trial->counted = false;
    trial->step_ns = clock_ns();
    take_sample(trial, trial->step_ns, true);
    if (trial->item->mode == MODE_EXHAUST)
        for (size_t i = 0; i < trial->crowd.count; i++)
            take_limit(trial, trial->crowd.list[i].pid);
    if (trial->item->rule[0] != '\0')
        atomic_store(&trial->session->board->paused, 0);
    come(trial, trial->item->mode == MODE_EXHAUST);
}

/* To be done when the fault is long over: by then an accept that waited for its client has met it, or has not. */
static void count_tally(struct trial *trial)
{
    struct measures *out = trial->out;
    struct tally *counts = tally(trial);
    if (trial->counted)
        return;
    trial->counted = true;
    out->round_injected[out->rounds] = atomic_load(&counts->injected);
    out->matched += atomic_load(&counts->matched);
    out->injected += atomic_load(&counts->injected);
    out->missed += atomic_load(&counts->missed);
    out->yielded += atomic_load(&counts->yielded);
}

static void measure_window(struct trial *trial, uint64_t now_ns)
{
    struct measures *out = trial->out;
    struct crowd now;
    out->window_ns = now_ns - trial->step_ns;
    out->window_clients = (uint32_t)(visitors_count(trial->visitors) - trial->since);
    crowd_look(&now);
    out->cpu_ns = crowd_cpu(&trial->crowd, &now, out->window_ns);
    uint64_t written = crowd_written(&trial->crowd, &now);
    crowd_close(&now);
    out->log_lines = logs_lines(&trial->logs, written, &out->log_bytes, out->log_last, sizeof out->log_last);
    out->log_lines += output_lines(trial->session->output) - trial->lines;
}

static void after_fault(struct trial *trial, uint64_t now_ns)
{
    trial->after = visitors_count(trial->visitors);
    trial->out->waited = visitors_with(trial->visitors, trial->since, FATE_WAITING) > 0;
    enter(trial, STEP_AFTER, now_ns);
}

/* The end of the fault.  What is measured is measured first: the figures are of a server that is still under it. */
static void release(struct trial *trial)
{
    struct measures *out = trial->out;
    uint64_t now_ns = clock_ns();
    if (out->rounds == 0)
        measure_window(trial, now_ns);
    atomic_store(&trial->session->board->paused, 1);
    give_limits_back(trial);
    visitors_release(trial->visitors);
    now_ns = clock_ns();
    take_sample(trial, now_ns, true);
    if (out->rounds == 0) {
        trial->released_ns = now_ns;
        out->released_ms = (now_ns - trial->session->start_ns) / NS_PER_MS;
    }
    after_fault(trial, now_ns);
}

static bool fault_is_over(const struct trial *trial, uint64_t now_ns)
{
    const struct trial_limits *limits = trial->limits;
    bool again = strstr(trial->item->rule, ":times=") != NULL; /* what found nothing to strike is tried again */
    uint64_t fired = struck_now(trial) + (again ? 0 : trial->spent);
    switch (trial->item->mode) {
    case MODE_ONCE:
        return fired >= 1 || in_step(trial, now_ns) >= FIRE_WITHIN_NS;
    case MODE_BURST:
        return fired >= (trial->item->burst > 0 ? trial->item->burst : CASE_BURST) ||
               in_step(trial, now_ns) >= limits->burst_ns;
    case MODE_EXHAUST:
        if (trial->out->real == 0)
            return in_step(trial, now_ns) >= FIRE_WITHIN_NS + limits->hold_ns || trial->limited_count == 0;
        return in_step(trial, now_ns) >= limits->hold_ns;
    default:
        return in_step(trial, now_ns) >= limits->hold_ns;
    }
}

/*
 * Clients who stay take the descriptors that are left.  A server that serves one client after the other is held up by the
 * first of them: where nobody gets in, one goes.
 */
static void fill_up(struct trial *trial, size_t waiting, uint64_t last)
{
    if (waiting < FILLERS_WAITING && visitors_count(trial->visitors) - trial->since < FILLERS_MAX && last >= FILLER_NS)
        come(trial, true);
    else if (last >= NUDGE_NS && visitors_dismiss(trial->visitors))
        trial->last_came = clock_ns();
}

/*
 * Somebody always waits, but those who are turned away under a fault that lasts come back as often as those who are served in
 * control do, so that the two can be compared; and while the fault has not struck, somebody comes now and then, for a blocking accept that was
 * entered before it takes a client without it.
 */
static void keep_coming(struct trial *trial, uint64_t now_ns)
{
    bool struck = struck_now(trial) > 0 || trial->out->real > 0;
    size_t waiting = visitors_with(trial->visitors, trial->since, FATE_WAITING);
    uint64_t last = now_ns - trial->last_came;
    if (trial->item->mode == MODE_CONTROL) {
        if (waiting == 0 && last >= NUDGE_NS)
            come(trial, false);
        return;
    }
    if (trial->item->mode == MODE_EXHAUST && !struck) {
        fill_up(trial, waiting, last);
        return;
    }
    bool held = trial->item->mode == MODE_HELD || trial->item->mode == MODE_EXHAUST;
    if (waiting == 0 && trial->item->mode == MODE_BURST)
        for (int i = 0; i < BURST_CLIENTS; i++)
            come(trial, false);
    else if (waiting == 0 ? last >= (held && struck ? NUDGE_NS : NUDGE_NS / 10) : !struck && last >= NUDGE_NS)
        come(trial, false);
}

static void tick_fault(struct trial *trial, uint64_t now_ns)
{
    if (fault_is_over(trial, now_ns))
        release(trial);
    else
        keep_coming(trial, now_ns);
}

/* --- Before it --------------------------------------------------------------------------------------------------- */

static bool is_baseline(const struct trial *trial)
{
    return trial->aim == TRIAL_BASELINE;
}

static bool open_visitors(struct trial *trial)
{
    visitors_free(trial->visitors);
    trial->visitors = visitors_new(trial->session->base, trial->options, &trial->endpoint);
    if (trial->visitors != NULL && trial->out->is_short)
        visitors_short(trial->visitors);
    if (trial->visitors != NULL)
        return true;
    say_error("can't make clients: %s", strerror(errno));
    session_fail(trial->session);
    return false;
}

/* The next listener of a baseline's walk.  Returns whether there was one. */
static bool next_listener(struct trial *trial)
{
    if (!is_baseline(trial) || trial->walk + 1 >= trial->out->listener_count)
        return false;
    trial->walk++;
    trial->endpoint = trial->listeners[trial->walk];
    if (!open_visitors(trial))
        return false;
    enter(trial, STEP_WARM, clock_ns());
    trial->warm = come(trial, false);
    return true;
}

static void calm_down(struct trial *trial, uint64_t now_ns)
{
    visitors_leave(trial->visitors);
    trial->changed_ns = now_ns;
    if (trial->crowd.count == 0)
        crowd_look(&trial->crowd);
    trial->last_descriptors = crowd_descriptors(&trial->crowd);
}

/* A client whose connection is accepted and closed, with nothing asked or said: that is how this server is. */
static bool closes_at_once(const struct trial *trial, const struct visit *visit)
{
    return trial->options->ask == ASK_CONNECT && visit->fate == FATE_CLOSED && visit->accepted;
}

static void learn_short(struct trial *trial)
{
    trial->out->is_short = true;
    visitors_short(trial->visitors);
}

/* One that was slow to close its first clients shows later how it is; under a fault that would prove nothing. */
static void watch_for_short(struct trial *trial)
{
    bool faultless = trial->item->mode == MODE_CONTROL && trial->visitors != NULL;
    for (size_t i = 0; faultless && !trial->out->is_short && i < visitors_count(trial->visitors); i++)
        if (closes_at_once(trial, visitors_get(trial->visitors, i)))
            learn_short(trial);
}

static void tick_warm(struct trial *trial, uint64_t now_ns)
{
    struct visitors *visitors = trial->visitors;
    if (trial->warm < 0)
        return;
    const struct visit *visit = visitors_get(visitors, (size_t)trial->warm);
    uint64_t since = now_ns - visit->ended_ns;
    if (closes_at_once(trial, visit))
        learn_short(trial);
    if (visit->fate == FATE_SERVED || (trial->out->is_short && visit->accepted)) {
        trial->out->listener_served[trial->walk] = true;
        if (next_listener(trial))
            return;
        enter(trial, STEP_CALM, now_ns);
        calm_down(trial, now_ns);
    } else if ((visit->fate == FATE_REFUSED || visit->fate == FATE_CLOSED) && since >= REFUSED_AGAIN_NS &&
               in_step(trial, now_ns) < trial->limits->patience_ns) {
        trial->warm = come(trial, false);
    } else if (in_step(trial, now_ns) >= (is_baseline(trial) ? trial->limits->grace_ns : trial->limits->patience_ns)) {
        if (!next_listener(trial))
            finish(trial);
    }
}

/* Whether the descriptors have not changed for a while, or will never stop. */
static bool is_calm(struct trial *trial, uint64_t now_ns)
{
    unsigned descriptors = crowd_descriptors(&trial->crowd);
    if (descriptors != trial->last_descriptors)
        trial->changed_ns = now_ns;
    trial->last_descriptors = descriptors;
    return now_ns - trial->changed_ns >= CALM_NS || in_step(trial, now_ns) >= CALM_AT_MOST_NS;
}

static void tick_calm(struct trial *trial, uint64_t now_ns)
{
    if (!is_calm(trial, now_ns))
        return;
    trial->descriptors = trial->last_descriptors;
    if (is_baseline(trial))
        finish(trial);
    else
        arm(trial, now_ns);
}

/* --- After it ---------------------------------------------------------------------------------------------------- */

/* The first client since the fault, of those who came FROM to UNTIL, that was served when it was over; ns, 0: none. */
static uint64_t first_served(const struct trial *trial, size_t from, size_t until)
{
    uint64_t first = 0;
    for (size_t i = from; i < until; i++) {
        const struct visit *visit = visitors_get(trial->visitors, i);
        if (visit->fate == FATE_SERVED && visit->ended_ns >= trial->step_ns && (first == 0 || visit->ended_ns < first))
            first = visit->ended_ns;
    }
    return first;
}

static void note_recovery(struct trial *trial, uint64_t served_ns)
{
    struct measures *out = trial->out;
    if (out->recovered || served_ns == 0)
        return;
    out->recovered = true;
    out->recovered_ms = (served_ns - trial->step_ns) / NS_PER_MS;
}

static void begin_quiet(struct trial *trial, uint64_t now_ns)
{
    for (size_t i = trial->since; i < visitors_count(trial->visitors); i++) {
        const struct visit *visit = visitors_get(trial->visitors, i);
        trial->out->left_waiting += visit->fate == FATE_WAITING;
        trial->out->left_accepted += visit->fate == FATE_WAITING && visit->accepted;
    }
    enter(trial, STEP_QUIET, now_ns);
    visitors_leave(trial->visitors);
    trial->changed_ns = now_ns;
}

/* Alone: those who waited when the fault ended.  Returns whether that is decided. */
static bool is_alone_decided(struct trial *trial, uint64_t now_ns)
{
    struct measures *out = trial->out;
    uint64_t served_ns = first_served(trial, trial->since, trial->after);
    if (out->waited && served_ns != 0 && visitors_count(trial->visitors) == trial->after) {
        out->alone_served = true;
        out->alone_ms = (served_ns - trial->step_ns) / NS_PER_MS;
    }
    if (visitors_count(trial->visitors) > trial->after)
        return true;
    note_recovery(trial, served_ns);
    bool waiting = visitors_with(trial->visitors, trial->since, FATE_WAITING) > 0;
    return !waiting || in_step(trial, now_ns) >= trial->limits->grace_ns;
}

/* Newcomers who were turned away come back soon; one who waits gets company, for some servers look at a queue only then. */
static bool is_another_due(const struct trial *trial, uint64_t now_ns)
{
    uint64_t last = now_ns - trial->last_came;
    if (trial->out->newcomer_served)
        return false;
    return visitors_with(trial->visitors, trial->after, FATE_WAITING) == 0 ? last >= REFUSED_AGAIN_NS
                                                                           : last >= trial->limits->grace_ns;
}

/* Then another one comes, and again if it is turned away. */
static void tick_after(struct trial *trial, uint64_t now_ns)
{
    struct measures *out = trial->out;
    size_t count = visitors_count(trial->visitors);
    if (!is_alone_decided(trial, now_ns))
        return;
    uint64_t served_ns = count > trial->after ? first_served(trial, trial->after, count) : 0;
    uint64_t other_ns = count > trial->after ? first_served(trial, trial->since, trial->after) : 0;
    if (!out->alone_served && out->waited && !out->recovered && other_ns != 0)
        out->woken = other_ns - visitors_get(trial->visitors, trial->after)->began_ns < WOKEN_NS;
    note_recovery(trial, other_ns);
    note_recovery(trial, served_ns);
    out->newcomer_served = out->newcomer_served || served_ns != 0;
    bool waiting = visitors_with(trial->visitors, trial->since, FATE_WAITING) > 0;
    if (in_step(trial, now_ns) >= trial->limits->patience_ns) {
        out->patience_ms = in_step(trial, now_ns) / NS_PER_MS;
        begin_quiet(trial, now_ns);
    } else if (out->newcomer_served && !waiting) {
        begin_quiet(trial, now_ns);
    } else if (count == trial->after || is_another_due(trial, now_ns)) {
        come(trial, false);
    }
}

/* Whether so many descriptors stayed that the fault is tried once more. */
static bool looks_leaky(const struct measures *out)
{
    return out->rounds == 1 && oracle_leaks(out, 0, LEAK_LEAST);
}

/* A worker has ended, and its parent may not have come to start another one yet. */
static bool awaits_worker(struct trial *trial, uint64_t now_ns)
{
    if (in_step(trial, now_ns) >= trial->limits->grace_ns)
        return false;
    count_workers(trial);
    if (trial->out->workers_ended == 0)
        return false;
    count_new(trial);
    return trial->out->workers_new == 0;
}

static void tick_quiet(struct trial *trial, uint64_t now_ns)
{
    struct measures *out = trial->out;
    bool done = is_calm(trial, now_ns);
    if (trial->last_descriptors > trial->descriptors && in_step(trial, now_ns) < CALM_AT_MOST_NS)
        return; /* a server may take its time to notice that clients are gone */
    if (!done || in_step(trial, now_ns) < RECORDS_NS || awaits_worker(trial, now_ns))
        return;
    if (trial->item->mode != MODE_NTH)
        count_tally(trial);
    out->growth[out->rounds] = (int32_t)trial->last_descriptors - (int32_t)trial->descriptors;
    out->rounds++;
    if (trial->item->mode == MODE_NTH || !looks_leaky(out)) {
        finish(trial);
        return;
    }
    trial->descriptors = trial->last_descriptors;
    reset_tally(trial);
    arm(trial, now_ns);
}

/* --- The script -------------------------------------------------------------------------------------------------- */

/* The address among those that listen which the case is for; the one that was found first where it names none. */
static void choose_endpoint(struct trial *trial)
{
    char text[ADDRESS_TEXT_MAX];
    trial->endpoint = trial->session->endpoint;
    for (size_t i = 0; i < trial->out->listener_count; i++) {
        endpoint_text(&trial->listeners[i], trial->out->bound[i]);
        endpoint_aim(&trial->listeners[i], trial->session->ready.waited.pid);
        endpoint_text(&trial->listeners[i], text);
        memcpy(trial->out->listeners[i], text, sizeof text);
        if (trial->item->address[0] != '\0' && strcmp(text, trial->item->address) == 0)
            trial->endpoint = trial->listeners[i];
    }
    if (is_baseline(trial) && trial->out->listener_count > 0)
        trial->endpoint = trial->listeners[0];
    endpoint_text(&trial->endpoint, trial->out->address);
}

static void on_made(struct session *session)
{
    struct trial *trial = trial_of(session);
    trial->session = session;
    atomic_store(&session->board->paused, trial->item->mode != MODE_NTH);
    if (is_baseline(trial)) {
        session->board->wanted[CALL_fcntl] |= WANT_ARGUMENTS;
        session->board->wanted[CALL_epoll_ctl] |= WANT_ARGUMENTS;
    }
}

/*
 * In the server's process.  Who looks at call sites from outside traces threads as well, and comes first: the rule may be
 * for a site.
 */
static void on_born(void *context)
{
    struct session *session = context;
    struct trial *trial = trial_of(session);
    if (trial->crash != NULL && (session->outside == NULL || !session->needs_sites))
        crash_watch_me(trial->crash);
}

static void on_ready(struct session *session)
{
    struct trial *trial = trial_of(session);
    uint64_t now_ns = clock_ns();
    output_limit(session->output, trial->limits->output_max);
    trial->out->ready = true;
    trial->out->ready_ns = atomic_load(&session->board->ready_ns) - session->start_ns;
    choose_endpoint(trial);
    if (!open_visitors(trial))
        return;
    crowd_look(&trial->crowd);
    if (trial->item->mode == MODE_NTH) {
        trial->out->armed = true;
        logs_look(&trial->logs, &trial->crowd);
        trial->descriptors = crowd_descriptors(&trial->crowd);
        after_fault(trial, now_ns);
    } else {
        enter(trial, STEP_WARM, now_ns);
        trial->warm = come(trial, false);
    }
}

static void note_listener(struct trial *trial, const struct event *event, const void *payload)
{
    struct endpoint endpoint;
    uint32_t count = trial->out->listener_count;
    if (!endpoint_set(&endpoint, payload, event->payload) || trial->out->ready)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (trial->listeners[i].length == endpoint.length &&
            memcmp(&trial->listeners[i].address, &endpoint.address, endpoint.length) == 0)
            return;
    if (count == MEASURES_LISTENERS) {
        note(trial, "it listens on more than %d addresses: the others are not tried", MEASURES_LISTENERS);
        return;
    }
    trial->listeners[count] = endpoint;
    trial->out->listener_count++;
}

static void note_family(struct trial *trial, const struct event *event, const void *payload)
{
    struct event_process process;
    if (event->payload < sizeof process)
        return;
    if (trial->family_count == CROWD_MAX) {
        note(trial, "more than %d processes were started: of later ones it is not known who started them", CROWD_MAX);
        return;
    }
    memcpy(&process, payload, sizeof process);
    for (size_t i = 0; i < trial->family_count; i++)
        if (trial->families[i].pid == event->pid)
            return; /* another program in the same process */
    trial->families[trial->family_count].starter = !trial->out->ready;
    trial->families[trial->family_count].pid = event->pid;
    trial->families[trial->family_count++].parent = process.ppid;
}

static void note_victim(struct trial *trial, pid_t pid)
{
    for (size_t i = 0; i < trial->victim_count; i++)
        if (trial->victims[i] == pid)
            return;
    if (trial->victim_count < VICTIMS)
        trial->victims[trial->victim_count++] = pid;
}

/* Some errnos are those of some commands: EMFILE of F_DUPFD, ENOSPC of EPOLL_CTL_ADD. */
static void note_command(struct site_seen *seen, const struct event *event, const void *payload)
{
    struct event_arguments arguments;
    if (seen->count > 64 || !(event->flags & EVENT_ARGUMENTS) || event->payload < sizeof arguments)
        return;
    memcpy(&arguments, payload, sizeof arguments);
    int64_t command = arguments.words[1];
    uint64_t bit = UINT64_C(1) << (seen->count - 1);
    if (seen->call == CALL_epoll_ctl && command == EPOLL_CTL_ADD)
        seen->makes |= bit;
    if (seen->call == CALL_fcntl && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        seen->makes |= bit;
    if (seen->call == CALL_fcntl && (command == F_SETLK || command == F_SETLKW || command == F_GETLK ||
                                     command == F_OFD_SETLK || command == F_OFD_SETLKW))
        seen->locks |= bit;
}

static void note_site(struct trial *trial, const struct event *event, const void *payload)
{
    struct measures *out = trial->out;
    uint32_t listener = call_accepts((enum call)event->call) ? (uint32_t)trial->walk : 0, i = 0;
    while (i < out->site_count && !(out->sites[i].call == event->call && out->sites[i].site == event->site &&
                                    out->sites[i].listener == listener))
        i++;
    if (i == MEASURES_SITES) {
        note(trial, "it makes calls from more than %d places: the others are not tried", MEASURES_SITES);
        return;
    }
    if (i == out->site_count)
        out->sites[out->site_count++] =
            (struct site_seen){.call = (enum call)event->call, .site = event->site, .listener = listener};
    out->sites[i].count++;
    note_command(&out->sites[i], event, payload);
}

static void note_accept(struct trial *trial, const struct event *event, const void *payload)
{
    size_t length;
    const void *address = event_address(event, payload, &length);
    bool consumed = event->flags & EVENT_CONSUMED;
    bool made_up =
        (event->flags & EVENT_INJECTED) && trial->item->error == 0 && strncmp(trial->item->fault, "retval", 6) == 0;
    if (event->ret >= 0 && trial->accepted++ == 0 && event->fd >= 0)
        trial->out->blocking = !process_nonblocking(event->pid, event->fd);
    if (event->ret < 0 && !(event->flags & EVENT_INJECTED) && (event->err == EMFILE || event->err == ENFILE)) {
        trial->out->real += trial->step == STEP_FAULT;
        trial->failed++;
    }
    if (trial->visitors != NULL && !made_up && (event->ret >= 0 || consumed))
        visitors_accepted(trial->visitors, address, length, event->t_ns + event->dur_ns, consumed);
}

static void on_seen(struct session *session, const struct event *event, const void *payload)
{
    struct trial *trial = trial_of(session);
    if (event->kind == EVENT_LISTENING)
        note_listener(trial, event, payload);
    if (event->kind == EVENT_PROCESS)
        note_family(trial, event, payload);
    if (event->kind != EVENT_CALL || event->call >= CALL_COUNT)
        return;
    if (call_accepts((enum call)event->call)) {
        note_accept(trial, event, payload);
        if (event->ret >= 0 && trial->step < STEP_FAULT)
            note_victim(trial, event->pid);
    }
    if (event->flags & EVENT_INJECTED) {
        note_victim(trial, event->pid);
        trial->failed++;
        trial->struck += !(event->flags & EVENT_REPEATED);
    }
    trial->spent += (event->flags & (EVENT_MISSED | EVENT_YIELDED)) != 0;
    bool counts =
        call_accepts((enum call)event->call) || trial->walk == 0; /* one client, as a case of the nth call has */
    if (is_baseline(trial) && counts && session->phase < PHASE_STOPPING)
        note_site(trial, event, payload);
}

/* A server that makes processes without end is ended before it takes the machine along. */
static void watch_crowd(struct trial *trial, uint64_t now_ns)
{
    struct proc *list;
    if (now_ns < trial->crowd_looked_ns + CROWD_NS)
        return;
    trial->crowd_looked_ns = now_ns;
    ssize_t count = tree_list(false, &list);
    if (count >= 0)
        free(list);
    if (count <= (ssize_t)trial->limits->processes_max)
        return;
    trial->out->crowded = true;
    say_error("the server runs %zd processes, and a case may have %u", count, trial->limits->processes_max);
    tree_kill(&trial->session->tree);
    session_fail(trial->session);
}

/* A server that spins may fill the rings, and one may accept through io_uring: no fault of its own, so its clients are asked
 * about. */
static void look_for_lost(struct trial *trial, uint64_t now_ns)
{
    bool lost = drain_lost(trial->session->drain) > 0 || unseen_has_connection(trial->session->unseen);
    if (trial->visitors == NULL || now_ns < trial->rechecked_ns + RECHECK_NS || !lost)
        return;
    trial->rechecked_ns = now_ns;
    visitors_recheck(trial->visitors);
}

static void on_tick(struct session *session, uint64_t now_ns)
{
    struct trial *trial = trial_of(session);
    if (session->phase <= PHASE_SERVING)
        watch_crowd(trial, now_ns);
    if (session->phase != PHASE_SERVING)
        return;
    take_sample(trial, now_ns, false);
    look_for_lost(trial, now_ns);
    watch_for_short(trial);
    switch (trial->step) {
    case STEP_WARM:
        tick_warm(trial, now_ns);
        break;
    case STEP_CALM:
        tick_calm(trial, now_ns);
        break;
    case STEP_FAULT:
        tick_fault(trial, now_ns);
        break;
    case STEP_AFTER:
        tick_after(trial, now_ns);
        break;
    case STEP_QUIET:
        tick_quiet(trial, now_ns);
        break;
    case STEP_START:
    case STEP_STOPPED:
        break;
    }
}

static bool on_reaped(struct session *session, pid_t pid, int status)
{
    struct trial *trial = trial_of(session);
    return trial->visitors != NULL && visitors_reaped(trial->visitors, pid, status);
}

/* --- Its result -------------------------------------------------------------------------------------------------- */

/* Whether the server took VISIT while the fault lasted.  With its end the pressure is gone, and with it the excuse. */
static bool was_under_pressure(const struct trial *trial, const struct visit *visit)
{
    return visit->accepted && (trial->released_ns == 0 || visit->accepted_ns <= trial->released_ns + SHED_LATE_NS);
}

static void count_clients(struct trial *trial)
{
    struct measures *out = trial->out;
    if (trial->visitors == NULL)
        return;
    bool pressure = trial->item->mode == MODE_EXHAUST || error_is_pressure(trial->item->error);
    for (size_t i = trial->since; i < visitors_count(trial->visitors); i++) {
        const struct visit *visit = visitors_get(trial->visitors, i);
        bool before = visit->ended_ns != 0 && visit->ended_ns < trial->released_ns;
        out->clients++;
        out->consumed += visit->consumed;
        out->refused += visit->fate == FATE_REFUSED;
        out->served_under += visit->fate == FATE_SERVED && before;
        out->served_after += visit->fate == FATE_SERVED && !before;
        if (visit->fate == FATE_CLOSED && !visit->consumed)
            ++*(pressure && was_under_pressure(trial, visit) ? &out->closed_under_pressure : &out->closed_without);
    }
}

/* The first line of what a sanitizer says; of the words that are kept, which are the last ones. */
static void find_sanitizer(struct measures *out)
{
    static const char *const marks[] = {"ERROR: AddressSanitizer",  "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                                        "WARNING: MemorySanitizer", "runtime error: ",      "ERROR: UndefinedBehavior",
                                        "ERROR: HWAddressSanitizer"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && out->sanitizer[0] == '\0'; i++) {
        const char *found = strstr(out->words, marks[i]);
        if (found == NULL)
            continue;
        while (found > out->words && found[-1] != '\n')
            found--;
        snprintf(out->sanitizer, sizeof out->sanitizer, "%.*s", (int)strcspn(found, "\n"), found);
    }
}

/* What the sites are called: by then all of them were seen, so that those of one function can be numbered. */
static void name_sites(struct session *session, struct measures *out)
{
    struct site *const *list;
    char name[SITE_NAME_MAX];
    if (session->sites == NULL)
        return;
    for (uint32_t i = 0; i < out->site_count; i++)
        if (out->sites[i].site != 0)
            sites_find(session->sites, out->sites[i].site);
    sites_sort(session->sites, &list);
    for (uint32_t i = 0; i < out->site_count; i++) {
        struct site_seen *seen = &out->sites[i];
        const struct site *site = seen->site != 0 ? sites_find(session->sites, seen->site) : NULL;
        if (site == NULL)
            continue;
        site_name(site, name);
        bool fits = strlen(name) < sizeof seen->name; /* what does not is told apart by the id */
        snprintf(seen->name, sizeof seen->name, fits ? "%.*s" : "%.*s~%08x",
                 fits ? CASE_SITE_MAX - 1 : CASE_SITE_MAX - 12, name, (unsigned)(site->id >> 32));
    }
}

static void on_over(struct session *session)
{
    struct trial *trial = trial_of(session);
    struct measures *out = trial->out;
    char words[OUTPUT_WORDS_MAX + 1];
    crash_watch_end(trial->crash);
    trial->crash = NULL;
    if (out->armed || trial->item->mode == MODE_NTH)
        count_tally(trial);
    count_clients(trial);
    out->lost = drain_lost(session->drain);
    out->never_ready = session->never_ready;
    out->ended = session->facts.server_ended;
    out->ended_before_ready = out->ended && !out->ready;
    out->has_ring = unseen_has_ring(trial->session->unseen);
    out->end_status = session->facts.server_status;
    out->stop_ignored = session->stop_ignored;
    out->stopped_badly = session->facts.stopped_badly;
    output_last_words(session->output, words);
    snprintf(out->words, sizeof out->words, "%.*s", (int)sizeof out->words - 1, words);
    find_sanitizer(out);
    name_sites(session, out);
    crowd_close(&trial->crowd);
    visitors_free(trial->visitors);
    trial->visitors = NULL;
}

bool trial_is_fatal(enum verdict verdict, const char *sanitizer)
{
    return (verdict == VERDICT_CRASHED || verdict == VERDICT_EXITED) && sanitizer[0] == '\0';
}

/* The calls of the start, and those that accept: what a case's trace holds. */
static const enum call case_calls[] = {CALL_socket, CALL_bind, CALL_listen, CALL_accept, CALL_accept4, CALL_NONE};

void trial_run(const struct options *options, const struct fault_case *item, const struct trial_limits *limits,
               enum trial_aim aim, struct measures *out)
{
    struct trial *trial = calloc(1, sizeof *trial);
    memset(out, 0, sizeof *out);
    if (trial == NULL) {
        say_error("no memory for a case");
        out->status = 125;
        return;
    }
    *trial = (struct trial){
        .options = options, .item = item, .limits = limits, .aim = aim, .out = out, .warm = -1, .sample_ns = SAMPLE_NS};
    struct script script = {
        .made = on_made,
        .born = on_born,
        .ready = on_ready,
        .seen = on_seen,
        .tick = on_tick,
        .reaped = on_reaped,
        .over = on_over,
        .calls = aim == TRIAL_BASELINE ? NULL : case_calls,
        .trace_max = TRACE_MAX,
        .context = trial,
    };
    if (aim == TRIAL_CRASH)
        trial->crash = crash_watch_start(out->crash, sizeof out->crash);
    if (aim == TRIAL_CRASH && trial->crash == NULL)
        snprintf(out->crash, sizeof out->crash, "(the stack of a crash is not known: %s)", strerror(errno));
    proc_leave_out(); /* who is there now is not the server's */
    out->is_short = item->is_short;
    out->start_ns = clock_ns();
    out->status = session_play(options, &script);
    out->done = true;
    free(trial);
}
