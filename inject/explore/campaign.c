/*
 * campaign.c - an exploration from its baseline to its report.
 *
 * Each case is tried by a process of its own (worker.c); this one only starts them, waits, judges and writes down.  It is
 * the subreaper of all: what a worker leaves behind comes here and is killed.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "explore/accepted.h"
#include "explore/cases.h"
#include "explore/explore.h"
#include "explore/folder.h"
#include "explore/measure.h"
#include "explore/place.h"
#include "explore/worker.h"
#include "report/campaign.h"
#include "run/clock.h"
#include "run/run.h"
#include "run/say.h"
#include "run/tree.h"

#define AGAIN ".again" /* behind the files of a second run */
#define PROGRESS_NS (200 * NS_PER_MS)
#define OVERDUE_NS (10 * NS_PER_S) /* that a case may take above what its parts may */

enum { RUNS_MAX = 3 };

struct slot {
    struct worker worker;
    size_t item;
};

struct campaign {
    struct config *config;
    struct measures *base;
    struct measures *controls;      /* one a listener */
    struct case_list cases, others; /* OTHERS: those that --shard and --max-cases leave to others */
    struct result *results;         /* of cases.items, likewise */
    bool *done, *extra;             /* EXTRA: the baseline did not show that there is such a call */
    size_t *again;                  /* items that wait for another run */
    size_t again_count, next, finished, room;
    size_t beyond; /* cases that turned out to be none */
    struct slot slots[JOBS_MAX];
    unsigned jobs, running;
    bool isolated;
    bool interrupted, out_of_time, broken;
    sigset_t mask; /* as it was */
    uint64_t start_ns, progress_ns, cases_ns, estimate_ms;
    uint64_t control_ms;            /* what the slowest control case took */
    uint64_t startup_ms, worked_ms; /* of all cases: the server's own start; all of it */
};

/* --- Processes --------------------------------------------------------------------------------------------------- */

static bool is_worker(const struct campaign *campaign, pid_t pid)
{
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (campaign->slots[i].worker.pid == pid)
            return true;
    return false;
}

/* What a worker that was killed left behind is ours now. */
static void kill_strays(const struct campaign *campaign)
{
    struct proc *list;
    ssize_t count = proc_list(&list);
    for (ssize_t i = 0; i < count; i++)
        if (list[i].ppid == getpid() && list[i].state != 'Z' && !is_worker(campaign, list[i].pid))
            proc_signal(&list[i], SIGKILL);
    if (count >= 0)
        free(list);
}

static void order_fill(const struct campaign *campaign, const struct fault_case *item, enum trial_aim aim,
                       const char *folder, const char *suffix, struct worker_order *out)
{
    *out = (struct worker_order){
        .options = &campaign->config->run,
        .item = item,
        .limits = &campaign->config->limits,
        .aim = aim,
        .isolated = campaign->isolated,
        .raise_limit = item->mode == MODE_CONTROL || strncmp(item->fault, "fdmin", 5) == 0,
        .folder = folder,
        .suffix = suffix,
        .mask = &campaign->mask,
    };
}

/* How long a case may take, ns, before it is ended: the sum of what its parts may. */
static uint64_t longest(const struct config *config)
{
    const struct trial_limits *limits = &config->limits;
    return config->run.ready_timeout_ns + 2 * (limits->hold_ns + limits->burst_ns + limits->grace_ns) +
           3 * limits->patience_ns + config->run.stop_timeout_ns + OVERDUE_NS;
}

static void take_signal(struct campaign *campaign, int signal)
{
    if (signal != SIGINT && signal != SIGTERM && signal != SIGHUP)
        return;
    bool again = campaign->interrupted;
    campaign->interrupted = true;
    for (unsigned i = 0; i < campaign->jobs; i++)
        if (campaign->slots[i].worker.pid != 0)
            kill(campaign->slots[i].worker.pid, again ? SIGKILL : SIGTERM);
}

/* Waits for a signal, at most for NS. */
static void wait_a_while(struct campaign *campaign, uint64_t ns)
{
    sigset_t set;
    struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    int signal = sigtimedwait(&set, NULL, &time);
    if (signal > 0)
        take_signal(campaign, signal);
}

/* Ends the workers that take too long. */
static void end_overdue(struct campaign *campaign)
{
    uint64_t now_ns = clock_ns();
    for (unsigned i = 0; i < campaign->jobs; i++) {
        struct worker *worker = &campaign->slots[i].worker;
        if (worker->pid != 0 && now_ns - worker->began_ns > longest(campaign->config))
            kill(worker->pid, SIGKILL);
    }
}

/* Tries ITEM alone, and waits for its end.  Returns -1 with errno if it can't be started. */
static int run_alone(struct campaign *campaign, const struct fault_case *item, enum trial_aim aim, const char *folder)
{
    struct worker *worker = &campaign->slots[0].worker;
    struct worker_order order;
    int status;
    order_fill(campaign, item, aim, folder, "", &order);
    if (worker_start(worker, &order) != 0)
        return -1;
    for (;;) {
        pid_t pid = waitpid(worker->pid, &status, WNOHANG);
        if (pid == worker->pid)
            break;
        end_overdue(campaign);
        wait_a_while(campaign, 50 * NS_PER_MS);
    }
    worker_ended(worker, status);
    kill_strays(campaign);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    return 0;
}

/* --- Before the cases -------------------------------------------------------------------------------------------- */

static void say_words(const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        say_error("%.*s", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static bool uses_words(const struct config *config)
{
    for (char *const *word = config->run.server; *word != NULL; word++)
        if (place_has_words(*word))
            return true;
    return config->run.client != NULL && place_has_words(config->run.client);
}

static int try_baseline(struct campaign *campaign, const char *folder)
{
    struct fault_case item = {.id = "baseline", .call = CALL_NONE, .mode = MODE_CONTROL};
    if (run_alone(campaign, &item, TRIAL_BASELINE, folder) != 0) {
        say_error("can't start a process: %s", strerror(errno));
        return -1;
    }
    *campaign->base = *campaign->slots[0].worker.measures;
    return 0;
}

static bool baseline_is_good(const struct measures *base)
{
    return base->done && base->status == 0 && base->ready && !base->ended && base->site_count > 0;
}

/* A server that ended before it listened, without a signal. */
static void say_advice(const struct measures *base)
{
    if (!base->ended_before_ready || !WIFEXITED(base->end_status))
        return;
    if (WEXITSTATUS(base->end_status) == 0)
        say_error("expected a server that listens until it is stopped, or goes to the background");
    else
        say_error("servers get no terminal and no input; for one that needs them: script -qefc 'COMMAND' /dev/null");
}

/* A server may need a network that its own namespace has not: then it runs in ours. */
static int make_baseline(struct campaign *campaign, const char *folder)
{
    campaign->isolated = place_isolation_error() == 0;
    if (try_baseline(campaign, folder) != 0)
        return -1;
    if (!baseline_is_good(campaign->base) && campaign->isolated && !campaign->interrupted &&
        campaign->base->ended_before_ready) {
        campaign->isolated = false;
        if (try_baseline(campaign, folder) != 0)
            return -1;
        if (baseline_is_good(campaign->base))
            say_note("the server does not start in a network of its own; it gets the one that is there");
    }
    if (campaign->interrupted)
        return -1;
    if (!baseline_is_good(campaign->base)) {
        say_words(campaign->base->error);
        if (campaign->base->ended && campaign->base->ready)
            say_error("the server ended by itself before it was asked to; its words: %s", campaign->base->words);
        say_error("the server does not come up without a fault; %s/output has what it said", folder);
        say_advice(campaign->base);
        return -1;
    }
    return 0;
}

static void say_baseline(const struct campaign *campaign)
{
    if (campaign->base->note[0] != '\0')
        say_note("the server is too much for this: %s", campaign->base->note);
    if (campaign->base->has_ring)
        say_note("the server uses io_uring: the calls that it makes through it are invisible, so they are not tried");
}

/* How many at once: as many as were asked for, if they can be kept apart. */
static void choose_jobs(struct campaign *campaign)
{
    const struct config *config = campaign->config;
    bool unix_path = campaign->base->address[0] == '/';
    campaign->jobs = config->jobs;
    if (campaign->jobs == 1 || uses_words(config))
        return;
    if (campaign->isolated && !unix_path)
        return;
    campaign->jobs = 1;
    if (unix_path)
        say_note("one job: all would listen on %s (say {dir} in its stead, and each has a folder)",
                 campaign->base->address);
    else
        say_note("one job: no network namespace is to be had here (say {port} where the server's port stands)");
}

static int check_listen(const struct campaign *campaign)
{
    const struct measures *base = campaign->base;
    if (campaign->config->listen == NULL)
        return 0;
    for (size_t i = 0; i < base->listener_count; i++)
        if (cases_wants_listener(campaign->config, base, i))
            return 0;
    say_error("--listen %s: the server listens on %s%s%s", campaign->config->listen, base->listeners[0],
              base->listener_count > 1 ? " and " : "", base->listener_count > 1 ? base->listeners[1] : "");
    return -1;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static uint64_t drawn(uint64_t seed, const char *id)
{
    uint64_t hash = mix(seed + UINT64_C(0x9e3779b97f4a7c15));
    for (; *id != '\0'; id++)
        hash = mix(hash ^ (unsigned char)*id);
    return hash;
}

struct lot {
    uint64_t number;
    size_t item;
};

static int compare_lots(const void *left, const void *right)
{
    const struct lot *a = left, *b = right;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

/* Of the cases that KEEP has, keeps --max-cases: with a seed those whose lot is lowest, else the first ones. */
static int draw_cases(const struct config *config, const struct case_list *list, bool *keep)
{
    struct lot *lots = calloc(list->count, sizeof *lots);
    size_t count = 0;
    if (lots == NULL)
        return -1;
    for (size_t i = 0; i < list->count; i++)
        if (keep[i])
            lots[count++] =
                (struct lot){.number = config->seed_given ? drawn(config->seed, list->items[i].id) : 0, .item = i};
    if (count > 0)
        qsort(lots, count, sizeof *lots, compare_lots);
    for (size_t i = config->max_cases; i < count; i++)
        keep[lots[i].item] = false;
    free(lots);
    return 0;
}

/* --shard and --max-cases; what they leave out is kept in mind. */
static int narrow_cases(struct campaign *campaign)
{
    const struct config *config = campaign->config;
    struct case_list *list = &campaign->cases;
    size_t kept = 0;
    if (list->count == 0 || (config->shards == 0 && config->max_cases == 0))
        return 0;
    bool *keep = calloc(list->count, sizeof *keep);
    if (keep == NULL)
        return -1;
    for (size_t i = 0; i < list->count; i++)
        keep[i] = config->shards == 0 || i % config->shards == config->shard - 1;
    int result = config->max_cases > 0 ? draw_cases(config, list, keep) : 0;
    for (size_t i = 0; i < list->count; i++)
        if (keep[i])
            list->items[kept++] = list->items[i];
        else
            result = cases_add(&campaign->others, &list->items[i]) != 0 ? -1 : result;
    list->count = kept;
    free(keep);
    return result;
}

static int make_cases(struct campaign *campaign)
{
    if (cases_make(&campaign->cases, campaign->config, campaign->base) != 0 || narrow_cases(campaign) != 0) {
        say_error("no memory for the cases");
        return -1;
    }
    if (campaign->cases.count > 0)
        return 0;
    say_error("no case is left: nothing that the server calls is what --faults, --sites, --modes or --shard leave");
    return -1;
}

/* What a case of that mode takes, ms, with a server that does right: control took as long, and its fault lasted. */
static uint64_t expected_ms(const struct campaign *campaign, const struct fault_case *item)
{
    uint64_t hold_ms = campaign->config->limits.hold_ns / NS_PER_MS, control_ms = campaign->control_ms;
    uint64_t rest_ms = control_ms > hold_ms ? control_ms - hold_ms : 0;
    if (item->mode == MODE_HELD || item->mode == MODE_EXHAUST)
        return rest_ms + hold_ms;
    return rest_ms + (item->mode == MODE_BURST ? 100 : 10);
}

static void say_estimate(struct campaign *campaign)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < campaign->cases.count; i++)
        sum += expected_ms(campaign, &campaign->cases.items[i]);
    campaign->estimate_ms = sum / campaign->jobs;
    say_note("%zu cases, about %" PRIu64 " s with %u job%s; more where it goes wrong, which is tried again",
             campaign->cases.count, campaign->estimate_ms / 1000 + 1, campaign->jobs, campaign->jobs == 1 ? "" : "s");
}

static int list_cases(const struct campaign *campaign)
{
    for (size_t i = 0; i < campaign->cases.count; i++) {
        const struct fault_case *item = &campaign->cases.items[i];
        printf("%-44s %s\n", item->id, item->rule[0] != '\0' ? item->rule : "(no injection: RLIMIT_NOFILE)");
    }
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

/* --- Control ----------------------------------------------------------------------------------------------------- */

static bool is_needed(const struct campaign *campaign, size_t listener)
{
    for (size_t i = 0; i < campaign->cases.count; i++)
        if (cases_listener(&campaign->cases.items[i], campaign->base) == listener)
            return true;
    return false;
}

/* A control case is one that can't fail: no fault is injected, so its verdict is that it was served. */
static int try_control(struct campaign *campaign, size_t i)
{
    char path[FOLDER_PATH_MAX], why[ORACLE_TEXT_MAX];
    struct result result = {.runs = 1};
    uint64_t begin_ns = clock_ns();
    cases_control(&result.item, campaign->base, i);
    if (folder_case(campaign->config->out, result.item.id, path) != 0 ||
        run_alone(campaign, &result.item, TRIAL_CASE, path) != 0) {
        say_error("can't try the control case: %s", strerror(errno));
        return -1;
    }
    uint64_t took_ms = (clock_ns() - begin_ns) / NS_PER_MS;
    campaign->control_ms = took_ms > campaign->control_ms ? took_ms : campaign->control_ms;
    campaign->controls[i] = *campaign->slots[0].worker.measures;
    if (campaign->interrupted)
        return -1;
    if (!oracle_control(&campaign->controls[i], why)) {
        bool ours = campaign->controls[i].error[0] != '\0' && !campaign->controls[i].ready;
        say_words(campaign->controls[i].error);
        if (ours) {
            say_error("control failed, so nothing can be judged");
            return -1;
        }
        say_error("control failed, so nothing can be judged: %s", why);
        if (campaign->base->address[0] == '/' && !uses_words(campaign->config))
            say_error("if it leaves %s behind: say {dir} for its folder, and each start has a new one",
                      campaign->base->address);
        return -1;
    }
    result.ruling.headline = result.seen[0] = VERDICT_SERVED;
    result.ruling.set = UINT32_C(1) << VERDICT_SERVED;
    snprintf(result.ruling.evidence, sizeof result.ruling.evidence, "no fault; clients served");
    if (folder_write(campaign->config->out, campaign->config, &result, &campaign->controls[i],
                     &campaign->controls[i]) == 0)
        return 0;
    say_error("can't write %s: %s", path, strerror(errno));
    return -1;
}

static int try_controls(struct campaign *campaign)
{
    size_t count = campaign->base->listener_count > 0 ? campaign->base->listener_count : 1;
    campaign->controls = calloc(count, sizeof *campaign->controls);
    if (campaign->controls == NULL) {
        say_error("no memory for the control cases");
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        if (is_needed(campaign, i) && try_control(campaign, i) != 0)
            return -1;
    return 0;
}

/* --- The cases --------------------------------------------------------------------------------------------------- */

static int make_room(struct campaign *campaign)
{
    size_t room = campaign->cases.count;
    if (room <= campaign->room)
        return 0;
    room = room + room / 2 + 16;
    struct result *results = realloc(campaign->results, room * sizeof *results);
    bool *done = results != NULL ? realloc(campaign->done, room * sizeof *done) : NULL;
    bool *extra = done != NULL ? realloc(campaign->extra, room * sizeof *extra) : NULL;
    size_t *again = extra != NULL ? realloc(campaign->again, RUNS_MAX * room * sizeof *again) : NULL;
    if (results != NULL)
        campaign->results = results;
    if (done != NULL)
        campaign->done = done;
    if (extra != NULL)
        campaign->extra = extra;
    if (again == NULL)
        return -1;
    campaign->again = again;
    memset(results + campaign->room, 0, (room - campaign->room) * sizeof *results);
    memset(done + campaign->room, 0, (room - campaign->room) * sizeof *done);
    memset(extra + campaign->room, 0, (room - campaign->room) * sizeof *extra);
    campaign->room = room;
    return 0;
}

static void break_off(struct campaign *campaign, const char *what, const char *name)
{
    if (!campaign->broken)
        say_error("can't %s %s: %s", what, name, strerror(errno));
    campaign->broken = true;
}

static const struct measures *control_of(const struct campaign *campaign, const struct fault_case *item)
{
    return &campaign->controls[cases_listener(item, campaign->base)];
}

static void judge(const struct campaign *campaign, const struct fault_case *item, const struct measures *m,
                  struct ruling *out)
{
    oracle_judge(item, m, control_of(campaign, item), &campaign->config->thresholds, out);
    if (m->status != 0 && !m->never_ready)
        *out = (struct ruling){.headline = VERDICT_NONE};
}

static void say_result(const struct campaign *campaign, const struct result *result)
{
    const char *word = result->failed ? "failed" : verdict_word(result->ruling.headline);
    (void)campaign;
    say_detail("%s: %s: %s", result->item.id, word, result->ruling.evidence);
}

/* Runs in which no fault was consumed are none: they agree with any other. */
static bool disagree(const struct result *result)
{
    enum verdict first = VERDICT_UNTESTED;
    for (unsigned i = 0; i < result->runs; i++) {
        if (result->seen[i] == VERDICT_UNTESTED)
            continue;
        if (first != VERDICT_UNTESTED && result->seen[i] != first)
            return true;
        first = result->seen[i];
    }
    return false;
}

/* Whether the case is to be run again: a bad verdict once, to confirm it, and twice if the two disagree. */
static bool needs_another(const struct campaign *campaign, size_t index)
{
    const struct result *result = &campaign->results[index];
    enum verdict headline = result->ruling.headline;
    bool good = headline == VERDICT_SERVED || headline == VERDICT_DECLINED;
    bool hopeless = headline == VERDICT_UNTESTED && (result->item.mode == MODE_EXHAUST || campaign->extra[index]);
    if (result->runs == 1)
        return !good && !hopeless;
    return result->runs == 2 && disagree(result);
}

/* Of runs that disagree, the verdict that came twice; else the gravest. */
static enum verdict settle(const struct result *result)
{
    enum verdict gravest = VERDICT_NONE;
    for (unsigned i = 0; i < result->runs; i++) {
        for (unsigned j = 0; j < i; j++)
            if (result->seen[i] == result->seen[j])
                return result->seen[i];
        gravest = result->seen[i] > gravest ? result->seen[i] : gravest;
    }
    return gravest;
}

static bool is_known(const struct case_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return true;
    return false;
}

/*
 * The path that a failing call opens may make more calls than the baseline did: its last one is followed by another.  Of
 * several shards it is the one of that last call that goes on, so that together they are the whole.
 */
static void add_next(struct campaign *campaign, size_t index, const struct measures *m)
{
    struct fault_case next = campaign->cases.items[index];
    if (next.mode != MODE_NTH || m->injected == 0 || m->matched <= next.nth)
        return;
    next.nth++;
    case_complete(&next, false, "");
    if (is_known(&campaign->cases, next.id) || is_known(&campaign->others, next.id))
        return;
    uint64_t most = campaign->config->max_cases;
    if (most > 0 && campaign->cases.count - campaign->beyond >= most)
        return;
    if (cases_add(&campaign->cases, &next) != 0 || make_room(campaign) != 0) {
        break_off(campaign, "take note of", next.id);
        return;
    }
    campaign->extra[campaign->cases.count - 1] = true;
}

/* The run that shows that there is no such call any more is none to report on. */
static bool is_beyond(const struct campaign *campaign, size_t index)
{
    return campaign->extra[index] && campaign->results[index].ruling.headline == VERDICT_UNTESTED;
}

static void keep(struct campaign *campaign, size_t index, const struct ruling *ruling, const struct measures *m)
{
    struct result *result = &campaign->results[index];
    result->ruling = *ruling;
    result->failed = m->status != 0;
    if (result->failed && !m->never_ready)
        snprintf(result->ruling.evidence, sizeof result->ruling.evidence, "%s", m->error);
}

/* Returns whether the case is on disk. */
static bool write_result(struct campaign *campaign, const struct result *result, const struct measures *m,
                         const char *path)
{
    if (folder_write(campaign->config->out, campaign->config, result, m, control_of(campaign, &result->item)) == 0)
        return true;
    break_off(campaign, "write", path);
    return false;
}

/*
 * The same for a run that was not adopted: how often it was tried is new, and the figures stay those of the one that was.
 * Where it crashed, the later run alone knows.
 */
static bool write_again(struct campaign *campaign, struct result *result, const struct measures *later,
                        const char *path)
{
    struct measures *m = malloc(sizeof *m);
    struct result *old = malloc(sizeof *old);
    bool written = m != NULL && old != NULL && folder_read(path, old, m) == 0;
    if (written && m->crash[0] == '\0' && later->crash[0] != '\0') {
        memcpy(m->crash, later->crash, sizeof m->crash);
        judge(campaign, &result->item, m, &result->ruling);
    }
    if (written)
        written = write_result(campaign, result, m, path);
    else
        break_off(campaign, "write", path);
    free(m);
    free(old);
    return written;
}

/*
 * The worker of SLOT is done: its figures are judged, and the case is written down or run again.  Returns whether what there
 * is of it is on disk.
 */
static bool take_result(struct campaign *campaign, struct slot *slot)
{
    struct result *result = &campaign->results[slot->item];
    const struct measures *m = slot->worker.measures;
    struct ruling ruling;
    char path[FOLDER_PATH_MAX];
    judge(campaign, &result->item, m, &ruling);
    result->took_ms += (clock_ns() - slot->worker.began_ns) / NS_PER_MS;
    campaign->startup_ms += m->ready_ns / NS_PER_MS;
    result->seen[result->runs++] = ruling.headline;
    result->fatal = trial_is_fatal(ruling.headline, m->sanitizer);
    enum verdict settled = settle(result);
    bool adopt = result->runs == 1 || (settled == ruling.headline && result->ruling.headline != settled);
    if (folder_case(campaign->config->out, result->item.id, path) != 0)
        break_off(campaign, "make the folder of", result->item.id);
    if (adopt)
        keep(campaign, slot->item, &ruling, m);
    if (result->runs > 1)
        (adopt ? folder_adopt : folder_discard)(path, AGAIN);
    result->failed = result->failed && !m->never_ready;
    result->flaky = disagree(result);
    if (needs_another(campaign, slot->item) && !campaign->interrupted)
        campaign->again[campaign->again_count++] = slot->item;
    bool written = campaign->interrupted ||
                   (adopt ? write_result(campaign, result, m, path) : write_again(campaign, result, m, path));
    add_next(campaign, slot->item, m);
    return written;
}

static void forget_case(struct campaign *campaign, size_t index)
{
    char path[FOLDER_PATH_MAX];
    campaign->beyond++;
    if (folder_case(campaign->config->out, campaign->cases.items[index].id, path) == 0)
        place_remove(path);
}

static void finish_case(struct campaign *campaign, struct slot *slot, int status)
{
    size_t index = slot->item;
    worker_ended(&slot->worker, status);
    campaign->running--;
    campaign->worked_ms += (clock_ns() - slot->worker.began_ns) / NS_PER_MS;
    if (campaign->interrupted)
        return;
    if (!take_result(campaign, slot) || needs_another(campaign, index))
        return;
    if (is_beyond(campaign, index)) {
        forget_case(campaign, index);
        return;
    }
    campaign->done[index] = true;
    campaign->finished++;
    say_result(campaign, &campaign->results[index]);
}

static void reap(struct campaign *campaign)
{
    int status;
    pid_t pid;
    bool any = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < campaign->jobs; i++)
            if (campaign->slots[i].worker.pid == pid) {
                finish_case(campaign, &campaign->slots[i], status);
                any = true;
                break;
            }
    if (any)
        kill_strays(campaign);
}

/* The next case to run: one that is to be run again, else a new one.  Returns false if there is none now. */
static bool next_case(struct campaign *campaign, size_t *out)
{
    if (campaign->again_count > 0) {
        *out = campaign->again[--campaign->again_count];
        return true;
    }
    while (campaign->next < campaign->cases.count && campaign->done[campaign->next])
        campaign->next++;
    if (campaign->next == campaign->cases.count)
        return false;
    *out = campaign->next++;
    return true;
}

static void start_case(struct campaign *campaign, struct slot *slot, size_t index)
{
    char path[FOLDER_PATH_MAX];
    struct result *result = &campaign->results[index];
    struct worker_order order;
    result->item = campaign->cases.items[index];
    result->item.is_short = control_of(campaign, &result->item)->is_short;
    slot->item = index;
    if (folder_case(campaign->config->out, result->item.id, path) != 0) {
        break_off(campaign, "make the folder of", result->item.id);
        return;
    }
    order_fill(campaign, &result->item, result->fatal ? TRIAL_CRASH : TRIAL_CASE, path, result->runs > 0 ? AGAIN : "",
               &order);
    if (worker_start(&slot->worker, &order) != 0)
        break_off(campaign, "start a process for", result->item.id);
    else
        campaign->running++;
}

static bool may_go_on(struct campaign *campaign)
{
    uint64_t limit = campaign->config->time_limit_ns;
    if (limit != 0 && clock_ns() - campaign->start_ns >= limit)
        campaign->out_of_time = true;
    return !campaign->interrupted && !campaign->out_of_time && !campaign->broken;
}

static void fill_slots(struct campaign *campaign)
{
    size_t index;
    for (unsigned i = 0; i < campaign->jobs && may_go_on(campaign); i++) {
        if (campaign->slots[i].worker.pid != 0)
            continue;
        if (!next_case(campaign, &index))
            return;
        start_case(campaign, &campaign->slots[i], index);
    }
}

/* On a terminal: how far it is, and how long it will take yet. */
static void show_progress(struct campaign *campaign, bool over)
{
    uint64_t now_ns = clock_ns();
    if (campaign->config->quiet || !isatty(STDERR_FILENO) || (!over && now_ns - campaign->progress_ns < PROGRESS_NS))
        return;
    campaign->progress_ns = now_ns;
    uint64_t spent_ms = (now_ns - campaign->cases_ns) / NS_PER_MS;
    uint64_t left_ms = campaign->finished > 3
                           ? spent_ms * (campaign->cases.count - campaign->finished) / campaign->finished
                           : campaign->estimate_ms;
    if (over)
        fprintf(stderr, "\r\033[K");
    else
        fprintf(stderr, "\r\033[K%zu of %zu cases, about %" PRIu64 " s left", campaign->finished, campaign->cases.count,
                left_ms / 1000 + 1);
    fflush(stderr);
}

/* A case that is there already, tried under the same rule, is taken as it is. */
static void take_over(struct campaign *campaign)
{
    struct measures *m = malloc(sizeof *m);
    struct result *old = malloc(sizeof *old);
    char path[FOLDER_PATH_MAX + 32];
    for (size_t i = 0; m != NULL && old != NULL && i < campaign->cases.count; i++) {
        snprintf(path, sizeof path, "%s/cases/%s/verdict.json", campaign->config->out, campaign->cases.items[i].id);
        if (access(path, R_OK) != 0)
            continue;
        path[strlen(path) - strlen("/verdict.json")] = '\0';
        if (folder_read(path, old, m) != 0 || old->failed || strcmp(old->item.rule, campaign->cases.items[i].rule) != 0)
            continue;
        campaign->results[i] = *old;
        campaign->done[i] = true;
        campaign->finished++;
        add_next(campaign, i, m);
    }
    free(m);
    free(old);
}

static void run_cases(struct campaign *campaign)
{
    campaign->cases_ns = clock_ns();
    fill_slots(campaign);
    while (campaign->running > 0) {
        wait_a_while(campaign, 100 * NS_PER_MS);
        end_overdue(campaign);
        reap(campaign);
        fill_slots(campaign);
        show_progress(campaign, false);
    }
    show_progress(campaign, true);
}

/* --- Its end ----------------------------------------------------------------------------------------------------- */

static void say_speed(const struct campaign *campaign)
{
    uint64_t spent_ms = (clock_ns() - campaign->cases_ns) / NS_PER_MS;
    if (campaign->finished == 0 || spent_ms == 0 || campaign->worked_ms == 0)
        return;
    say_note("%zu cases in %.1f s, %.1f a second; %.0f%% of the time was the server's own start", campaign->finished,
             (double)spent_ms / 1000, (double)campaign->finished * 1000 / (double)spent_ms,
             100.0 * (double)campaign->startup_ms / (double)campaign->worked_ms);
}

/* The results that there are, in the order of the cases, for the reports. */
static size_t gather(struct campaign *campaign)
{
    size_t count = 0;
    for (size_t i = 0; i < campaign->cases.count; i++)
        if (campaign->done[i])
            campaign->results[count++] = campaign->results[i];
    results_sort(campaign->results, count);
    return count;
}

/* Whether not all cases that there are were asked for. */
static bool is_narrowed(const struct config *config)
{
    return config->faults.count > 0 || config->sites.count > 0 || config->modes != 0 || config->listen != NULL;
}

static int conclude(struct campaign *campaign)
{
    struct config *config = campaign->config;
    size_t all = campaign->cases.count - campaign->beyond, count = gather(campaign);
    struct campaign_report report = {
        .results = campaign->results,
        .count = count,
        .dirs = &config->out,
        .dir_count = 1,
        .server = config->run.server,
        .fail_on = config->fail_on,
        .incomplete = count < all || campaign->broken,
        .partial = count < all || campaign->others.count > 0 || is_narrowed(config),
    };
    say_speed(campaign);
    if (config->baseline != NULL && accepted_read(config->baseline, &report) != 0)
        return EXIT_SNAG;
    if (config->write_baseline != NULL && accepted_write(config->write_baseline, &report) != 0)
        return EXIT_SNAG;
    int status = campaign_report_all(&report, config->out);
    if (campaign->interrupted)
        say_error("interrupted; go on with --resume");
    else if (campaign->out_of_time && count < all)
        say_error("the time is up; go on with --resume");
    return status;
}

static int prepare(struct campaign *campaign, char folder[FOLDER_PATH_MAX])
{
    struct config *config = campaign->config;
    for (size_t i = 0; i < JOBS_MAX; i++)
        campaign->slots[i].worker.words = -1;
    campaign->base = malloc(sizeof *campaign->base);
    if (campaign->base == NULL) {
        say_error("no memory for the baseline");
        return -1;
    }
    for (size_t i = 0; i < config->jobs; i++)
        if (worker_open(&campaign->slots[i].worker) != 0) {
            say_error("no memory for the jobs: %s", strerror(errno));
            return -1;
        }
    if (config->list) {
        snprintf(folder, FOLDER_PATH_MAX, "/tmp/snag-list.XXXXXX");
        if (mkdtemp(folder) != NULL)
            return 0;
        say_error("can't make a folder in /tmp: %s", strerror(errno));
        return -1;
    }
    if (folder_make(config->out, config->resume) == 0 && folder_case(config->out, "baseline", folder) == 0)
        return 0;
    return -1;
}

static int explore(struct campaign *campaign)
{
    struct config *config = campaign->config;
    char folder[FOLDER_PATH_MAX] = "";
    int status = EXIT_SNAG;
    campaign->jobs = 1;
    if (prepare(campaign, folder) != 0)
        return EXIT_SNAG;
    if (make_baseline(campaign, folder) == 0 && check_listen(campaign) == 0) {
        say_baseline(campaign);
        choose_jobs(campaign);
        if (config->run.ready_command == NULL) /* whose time is not in ready_ns */
            config->limits.start_ns = config->limits.patience_ns + 3 * campaign->base->ready_ns;
        config->isolated = campaign->isolated;
        if (make_cases(campaign) == 0)
            status = config->list ? list_cases(campaign) : -1;
    }
    if (config->list)
        place_remove(folder);
    if (status != -1)
        return status;
    if (make_room(campaign) != 0 || try_controls(campaign) != 0)
        return EXIT_SNAG;
    say_estimate(campaign);
    if (config->resume)
        take_over(campaign);
    run_cases(campaign);
    return conclude(campaign);
}

static void hold_signals(struct campaign *campaign)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &campaign->mask);
}

static void campaign_free(struct campaign *campaign)
{
    for (size_t i = 0; i < JOBS_MAX; i++)
        worker_close(&campaign->slots[i].worker);
    cases_free(&campaign->cases);
    cases_free(&campaign->others);
    free(campaign->base);
    free(campaign->controls);
    free(campaign->results);
    free(campaign->done);
    free(campaign->extra);
    free(campaign->again);
    sigprocmask(SIG_SETMASK, &campaign->mask, NULL);
}

int campaign_try(struct config *config, const struct fault_case *item, enum trial_aim aim, bool isolated,
                 const char *folder, struct measures *out)
{
    struct campaign *campaign = calloc(1, sizeof *campaign);
    int result = -1;
    if (campaign == NULL)
        return -1;
    campaign->config = config;
    campaign->jobs = 1;
    campaign->isolated = isolated;
    for (size_t i = 0; i < JOBS_MAX; i++)
        campaign->slots[i].worker.words = -1;
    hold_signals(campaign);
    proc_leave_out();
    if (tree_adopt() == 0 && worker_open(&campaign->slots[0].worker) == 0)
        result = run_alone(campaign, item, aim, folder);
    if (result != 0)
        say_error("can't try the case: %s", strerror(errno));
    else
        *out = *campaign->slots[0].worker.measures;
    if (campaign->interrupted)
        result = -1;
    campaign_free(campaign);
    free(campaign);
    return result;
}

int campaign_run(struct config *config)
{
    struct campaign *campaign = calloc(1, sizeof *campaign);
    int status = EXIT_SNAG;
    if (campaign == NULL) {
        say_error("no memory for an exploration");
        return EXIT_SNAG;
    }
    campaign->config = config;
    campaign->start_ns = clock_ns();
    hold_signals(campaign);
    proc_leave_out();
    if (tree_adopt() == 0)
        status = explore(campaign);
    else
        say_error("can't become the subreaper: %s", strerror(errno));
    campaign_free(campaign);
    free(campaign);
    return status;
}
