#include "explore/oracle.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "plan/names.h"

#define NS_IN_S 1e9

enum { LAST_WORDS = 160 }; /* bytes of them in the evidence */

const struct thresholds thresholds_default = {
    .cpu = 0.5,
    .calls_per_s = 1000,
    .lines_per_s = 100,
    .least_window_ms = 500,
    .leak_least = 10,
    .grace_ms = 1000,
};

enum {
    CRASH_FRAMES = 3, /* that a line shows */
    CRASH_TEXT = 500,
};

/* A case on the bench. */
struct hearing {
    const struct fault_case *item;
    const struct measures *m, *control;
    const struct thresholds *thresholds;
    struct ruling *out;
};

static void add(struct ruling *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a part to the evidence, which is cut where it does not fit. */
static void add(struct ruling *out, const char *format, ...)
{
    va_list arguments;
    size_t length = strlen(out->evidence);
    if (length > 0)
        length += (size_t)snprintf(out->evidence + length, ORACLE_TEXT_MAX - length, "; ");
    if (length >= ORACLE_TEXT_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(out->evidence + length, ORACLE_TEXT_MAX - length, format, arguments);
    va_end(arguments);
}

static void earn(struct hearing *hearing, enum verdict verdict)
{
    hearing->out->set |= UINT32_C(1) << verdict;
    if (verdict > hearing->out->headline)
        hearing->out->headline = verdict;
}

static double per_second(uint64_t count, uint64_t window_ns)
{
    return window_ns > 0 ? (double)count / ((double)window_ns / NS_IN_S) : 0;
}

struct rates oracle_rates(const struct measures *m)
{
    return (struct rates){
        .calls_per_s = per_second(m->round_injected[0] + m->real, m->window_ns),
        .cpu = per_second(m->cpu_ns, m->window_ns) / NS_IN_S,
        .lines_per_s = per_second(m->log_lines, m->window_ns),
    };
}

bool oracle_has_rates(const struct measures *m, const struct thresholds *thresholds)
{
    return m->window_ns >= thresholds->least_window_ms * 1000000;
}

uint64_t oracle_faults(const struct fault_case *item, const struct measures *m)
{
    return item->mode == MODE_EXHAUST ? m->real : m->injected;
}

static const char *end_text(int status, char out[64])
{
    char name[SIGNAL_NAME_MAX];
    if (WIFSIGNALED(status))
        snprintf(out, 64, "by %s", signal_name(WTERMSIG(status), name));
    else
        snprintf(out, 64, "with exit status %d", WEXITSTATUS(status));
    return out;
}

/* Adds the last line that it wrote, cut where it is long. */
static void add_last_words(struct hearing *hearing)
{
    const char *words = hearing->m->words;
    size_t end = strlen(words);
    while (end > 0 && (words[end - 1] == '\n' || words[end - 1] == ' '))
        end--;
    size_t start = end;
    while (start > 0 && words[start - 1] != '\n')
        start--;
    if (end > start)
        add(hearing->out, "last words: %.*s", (int)(end - start > LAST_WORDS ? LAST_WORDS : end - start),
            words + start);
}

/* Adds where the signal struck: the innermost frames of the server's own code, on a line. */
static void add_crash(struct hearing *hearing)
{
    char text[CRASH_TEXT] = "";
    size_t length = 0, frames = 0;
    const char *line = hearing->m->crash + strcspn(hearing->m->crash, "\n");
    while (*line == '\n' && frames < CRASH_FRAMES) {
        size_t width = strcspn(++line, "\n");
        bool libc = memmem(line, width, " in libc.so", 11) != NULL;
        if ((frames > 0 || !libc) && length + width + 4 < sizeof text) {
            length += (size_t)sprintf(text + length, "%s%.*s", frames > 0 ? " < " : "", (int)width, line);
            frames++;
        }
        line += width;
    }
    if (frames > 0)
        add(hearing->out, "%s%s", text[0] == '(' ? "" : "at ", text);
}

/* --- One oracle a verdict ---------------------------------------------------------------------------------------- */

static bool is_crash(int status)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return signal != 0 && signal != SIGTERM && signal != SIGINT && signal != SIGHUP && signal != SIGQUIT &&
           signal != SIGKILL;
}

static void judge_crashed(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    char text[64], name[SIGNAL_NAME_MAX];
    if (m->ended && WIFSIGNALED(m->end_status)) {
        earn(hearing, VERDICT_CRASHED);
        add(hearing->out, "ended %s", end_text(m->end_status, text));
    }
    if (m->stopped_badly != 0 && hearing->control->stopped_badly == 0) {
        earn(hearing, VERDICT_CRASHED);
        add(hearing->out, "ended by %s when it was asked to stop", signal_name(m->stopped_badly, name));
    }
    if (m->workers_ended > 0 && m->worker_status != -1 && is_crash(m->worker_status)) {
        earn(hearing, VERDICT_CRASHED);
        add(hearing->out, "a worker ended %s", end_text(m->worker_status, text));
    }
    if (hearing->out->set != 0)
        add_crash(hearing);
    if (m->sanitizer[0] != '\0' && hearing->control->sanitizer[0] == '\0') {
        earn(hearing, VERDICT_CRASHED);
        add(hearing->out, "%s", m->sanitizer);
    }
}

/* A start that fails is to be refused, in words and with a status: that is right. */
static void judge_ended(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    char text[64];
    if (!m->ended || WIFSIGNALED(m->end_status))
        return;
    bool said = m->words[0] != '\0', failed = WEXITSTATUS(m->end_status) != 0;
    bool declined = m->ended_before_ready && said && failed;
    earn(hearing, declined ? VERDICT_DECLINED : VERDICT_EXITED);
    add(hearing->out, "ended %s%s%s", end_text(m->end_status, text),
        m->ended_before_ready ? " before it was ready" : "", said ? "" : ", without a word");
}

/* A fault of the start may strike a process that ends anyway: no worker is lost by that. */
static uint32_t workers_lost(const struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    bool as_ever = hearing->item->mode == MODE_NTH && m->starters_ended <= hearing->control->starters_ended;
    return m->workers_ended - (as_ever ? m->starters_met : 0);
}

static void judge_workers(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    uint32_t lost = workers_lost(hearing);
    char text[64] = "";
    if (m->ended || lost == 0 || hearing->control->workers_ended > 0)
        return;
    if (m->worker_status != -1)
        end_text(m->worker_status, text);
    earn(hearing, m->workers_new > 0 ? VERDICT_RESPAWNED : VERDICT_EXITED);
    add(hearing->out, "%u worker%s ended%s%s%s", lost, lost == 1 ? "" : "s", text[0] != '\0' ? " " : "", text,
        m->workers_new > 0 ? ", and others took their place" : ", and nobody took its place");
}

static void judge_deaf(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    if (m->ended || m->newcomer_served)
        return;
    earn(hearing, VERDICT_DEAF);
    if (m->never_ready)
        add(hearing->out, "alive, and never ready to serve");
    else if (m->recovered)
        add(hearing->out, "served those who waited, and nobody who came in the %" PRIu64 " ms after", m->patience_ms);
    else
        add(hearing->out, "served nobody in the %" PRIu64 " ms after the fault", m->patience_ms);
}

static void judge_unstoppable(struct hearing *hearing)
{
    if (!hearing->m->stop_ignored || hearing->control->stop_ignored)
        return;
    earn(hearing, VERDICT_UNSTOPPABLE);
    add(hearing->out, "had to be killed");
}

/* Whether the fault lasted long enough to tell a habit from a moment. */
static bool lasted(const struct hearing *hearing)
{
    return oracle_has_rates(hearing->m, hearing->thresholds);
}

static void judge_spun(struct hearing *hearing)
{
    struct rates now = oracle_rates(hearing->m), then = oracle_rates(hearing->control);
    bool burns = now.cpu - then.cpu > hearing->thresholds->cpu;
    bool calls = now.calls_per_s - then.calls_per_s > hearing->thresholds->calls_per_s;
    if (!lasted(hearing) || (!burns && !calls))
        return;
    earn(hearing, VERDICT_SPUN);
    add(hearing->out, "%.0f failing calls a second, %.0f%% of a core", now.calls_per_s, 100 * now.cpu);
}

/* What control would have written: with more clients, more. */
static double usual_lines_per_s(const struct hearing *hearing)
{
    const struct measures *m = hearing->m, *control = hearing->control;
    double lines_per_s = oracle_rates(control).lines_per_s;
    double clients_per_s = per_second(m->window_clients, m->window_ns);
    double then_per_s = per_second(control->window_clients, control->window_ns);
    return clients_per_s > then_per_s && then_per_s > 0 ? lines_per_s * clients_per_s / then_per_s : lines_per_s;
}

static void judge_flooded(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    struct rates now = oracle_rates(m);
    if (!lasted(hearing) || now.lines_per_s - usual_lines_per_s(hearing) <= hearing->thresholds->lines_per_s)
        return;
    earn(hearing, VERDICT_FLOODED);
    add(hearing->out, "%.0f log lines a second", now.lines_per_s);
}

bool oracle_leaks(const struct measures *m, size_t round, uint32_t least)
{
    uint64_t injected = m->round_injected[round], room = m->room[round];
    uint64_t could = room > 0 && room < injected ? room : injected;
    return m->growth[round] >= (int32_t)least && injected > 0 && (uint64_t)m->growth[round] * 2 >= could;
}

static void judge_leaked(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    uint32_t least = hearing->thresholds->leak_least;
    bool used_up = m->room[1] > 0 && m->room[1] < least; /* nothing was left to leak */
    if (m->rounds < 2 || !oracle_leaks(m, 0, least) || (!used_up && !oracle_leaks(m, 1, least)))
        return;
    earn(hearing, VERDICT_LEAKED);
    add(hearing->out, "%d descriptors stayed after %" PRIu64 " faults, and %d after %" PRIu64 " more", m->growth[0],
        m->round_injected[0], m->growth[1], m->round_injected[1]);
}

static void judge_lost_clients(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    if (m->closed_without > 0) {
        earn(hearing, VERDICT_DROPPED);
        add(hearing->out, "%u of %u clients lost", m->closed_without, m->clients);
    }
    if (m->left_accepted > 0 && m->newcomer_served) {
        earn(hearing, VERDICT_DROPPED);
        add(hearing->out, "%u client%s accepted, and never served nor closed", m->left_accepted,
            m->left_accepted == 1 ? "" : "s");
    }
    if (m->closed_under_pressure > 0) {
        earn(hearing, VERDICT_SHED);
        add(hearing->out, "%u of %u clients accepted and closed at once", m->closed_under_pressure, m->clients);
    }
}

static void judge_slow(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    uint64_t grace_ms = hearing->thresholds->grace_ms;
    uint64_t ready_ms = m->ready_ns / 1000000, control_ms = hearing->control->ready_ns / 1000000;
    if (!m->newcomer_served)
        return;
    if (hearing->item->mode == MODE_NTH && ready_ms > control_ms + grace_ms) {
        earn(hearing, VERDICT_SLOW);
        add(hearing->out, "ready after %" PRIu64 " ms, not %" PRIu64, ready_ms, control_ms);
    }
    if (m->left_waiting > m->left_accepted) {
        earn(hearing, VERDICT_SLOW);
        add(hearing->out, "%u in the queue when the patience ended", m->left_waiting - m->left_accepted);
    }
    if (m->left_waiting == 0 && m->recovered_ms > grace_ms + hearing->control->recovered_ms) {
        earn(hearing, VERDICT_SLOW);
        add(hearing->out,
            m->woken ? "served again only when another client came, %" PRIu64 " ms after the fault"
                     : "served again %" PRIu64 " ms after the fault",
            m->recovered_ms);
    }
}

static void judge_served(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    if (hearing->out->set == 0)
        earn(hearing, VERDICT_SERVED);
    if (m->newcomer_served && m->left_waiting == 0 && !(hearing->out->set >> VERDICT_SLOW & 1))
        add(hearing->out,
            m->served_under > 0 ? "clients served under the fault, and %" PRIu64 " ms after it"
                                : "served again %" PRIu64 " ms after the fault",
            m->recovered_ms);
}

/* --- The whole --------------------------------------------------------------------------------------------------- */

static void add_faults(const struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    uint64_t faults = oracle_faults(hearing->item, m);
    bool held = hearing->item->mode == MODE_HELD || hearing->item->mode == MODE_EXHAUST;
    char window[40] = "";
    if (held)
        snprintf(window, sizeof window, " in %" PRIu64 " ms", m->window_ns / 1000000);
    if (hearing->item->mode == MODE_EXHAUST)
        add(hearing->out, "%" PRIu64 " accept%s failed for want of descriptors%s", faults, faults == 1 ? "" : "s",
            window);
    else
        add(hearing->out, "%" PRIu64 " fault%s injected%s", faults, faults == 1 ? "" : "s", window);
}

/* No fault was consumed.  What the server did is no verdict then, but it may say why. */
static void say_untested(struct hearing *hearing)
{
    const struct measures *m = hearing->m;
    char text[64];
    hearing->out->headline = VERDICT_UNTESTED;
    hearing->out->set = UINT32_C(1) << VERDICT_UNTESTED;
    if (m->limit_error[0] != '\0')
        add(hearing->out, "the limit can't be pulled down: %s", m->limit_error);
    else if (hearing->item->mode == MODE_EXHAUST)
        add(hearing->out, "the server never ran out of descriptors");
    else if (m->missed > 0)
        add(hearing->out, "%" PRIu64 " faults found nothing to strike", m->missed);
    else if (m->yielded > 0)
        add(hearing->out, "%" PRIu64 " faults gave way to a descriptor that was closed", m->yielded);
    else
        add(hearing->out, "no fault was injected");
    if (m->ended)
        add(hearing->out, "the server ended %s", end_text(m->end_status, text));
    else if (!m->ready)
        add(hearing->out, "the server was not ready");
    else if (!m->armed)
        add(hearing->out, "no client was served before the fault was to come");
}

void oracle_judge(const struct fault_case *item, const struct measures *m, const struct measures *control,
                  const struct thresholds *thresholds, struct ruling *out)
{
    struct hearing hearing = {.item = item, .m = m, .control = control, .thresholds = thresholds, .out = out};
    memset(out, 0, sizeof *out);
    if (oracle_faults(item, m) == 0) {
        say_untested(&hearing);
        return;
    }
    judge_crashed(&hearing);
    judge_deaf(&hearing);
    judge_unstoppable(&hearing);
    judge_ended(&hearing);
    judge_spun(&hearing);
    judge_leaked(&hearing);
    judge_workers(&hearing);
    judge_lost_clients(&hearing);
    judge_flooded(&hearing);
    judge_slow(&hearing);
    judge_served(&hearing);
    add_faults(&hearing);
    if (m->note[0] != '\0')
        add(out, "%s", m->note);
    if (m->ended)
        add_last_words(&hearing);
}

bool oracle_control(const struct measures *m, char why[ORACLE_TEXT_MAX])
{
    char text[64];
    if (!m->ready || m->status != 0)
        snprintf(why, ORACLE_TEXT_MAX, "the server does not come up without a fault");
    else if (m->ended)
        snprintf(why, ORACLE_TEXT_MAX, "the server ended %s without a fault", end_text(m->end_status, text));
    else if (!m->armed || !m->newcomer_served)
        snprintf(why, ORACLE_TEXT_MAX, "without a fault, no client of %s was served; %u came, %u refused, %u closed",
                 m->address, m->clients, m->refused, m->closed_without);
    else
        return true;
    return false;
}
