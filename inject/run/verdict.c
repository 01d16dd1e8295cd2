#include "run/verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "plan/names.h"

static const char *const words[VERDICT_COUNT] = {
    [VERDICT_NONE] = NULL,
    [VERDICT_UNTESTED] = "untested",
    [VERDICT_SERVED] = "served",
    [VERDICT_DECLINED] = "declined",
    [VERDICT_SLOW] = "slow",
    [VERDICT_SHED] = "shed",
    [VERDICT_FLOODED] = "flooded",
    [VERDICT_DROPPED] = "dropped",
    [VERDICT_RESPAWNED] = "respawned",
    [VERDICT_LEAKED] = "leaked",
    [VERDICT_SPUN] = "spun",
    [VERDICT_EXITED] = "exited",
    [VERDICT_UNSTOPPABLE] = "unstoppable",
    [VERDICT_DEAF] = "deaf",
    [VERDICT_CRASHED] = "crashed",
};

const char *verdict_word(enum verdict verdict)
{
    return words[verdict];
}

enum verdict verdict_by_word(const char *text, size_t length)
{
    for (enum verdict verdict = VERDICT_UNTESTED; verdict < VERDICT_COUNT; verdict++)
        if (strlen(words[verdict]) == length && memcmp(words[verdict], text, length) == 0)
            return verdict;
    return VERDICT_NONE;
}

/* Adds to the evidence; what does not fit is cut. */
static void add(char *evidence, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(char *evidence, const char *format, ...)
{
    size_t length = strlen(evidence);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(evidence + length, VERDICT_TEXT_MAX - length, format, arguments);
    va_end(arguments);
}

static const char *end_text(int status, char out[64])
{
    char name[SIGNAL_NAME_MAX];
    if (WIFSIGNALED(status))
        snprintf(out, 64, "ended by %s", signal_name(WTERMSIG(status), name));
    else
        snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
    return out;
}

/* How the client fared, up to the comma. */
static void add_client(const struct facts *facts, char *evidence)
{
    char text[64];
    const char *faults = facts->injected ? " during the fault" : "";
    if (facts->command && facts->client_timed_out)
        add(evidence, "client timed out%s", faults);
    else if (facts->command && !facts->client_ok)
        add(evidence, "client failed%s (%s)", faults, end_text(facts->client_status, text));
    else if (facts->client_ok)
        add(evidence, "1 of %u clients answered", facts->attempts ? facts->attempts : 1);
    else
        add(evidence, "0 of %u clients answered%s", facts->attempts, faults);
    if (facts->http_status != 0)
        add(evidence, " (HTTP %d)", facts->http_status);
}

static void add_injected(const struct facts *facts, char *evidence)
{
    if (facts->injected > 0)
        add(evidence, "; %" PRIu64 " fault%s injected", facts->injected, facts->injected == 1 ? "" : "s");
}

static enum verdict judge_served(const struct facts *facts, char *evidence)
{
    add_client(facts, evidence);
    if (facts->client_ok)
        add(evidence, ", %" PRIu64 " ms after ready", facts->served_ms);
    else
        add(evidence, "; served again after %" PRIu64 " ms", facts->recovered_ms);
    if (facts->client_ok && facts->accept_unseen)
        add(evidence, " (its accept was not seen)");
    add_injected(facts, evidence);
    return VERDICT_SERVED;
}

static enum verdict judge_end(const struct facts *facts, char *evidence)
{
    char text[64];
    bool crashed = WIFSIGNALED(facts->server_status);
    add(evidence, "%s", end_text(facts->server_status, text));
    if (facts->before_ready)
        add(evidence, " before it was ready");
    else if (!crashed)
        add(evidence, " while it was to serve");
    add_injected(facts, evidence);
    return crashed ? VERDICT_CRASHED : VERDICT_EXITED;
}

static enum verdict judge_bad_stop(const struct facts *facts, char *evidence)
{
    char name[SIGNAL_NAME_MAX];
    add(evidence, "ended by %s when it was asked to stop", signal_name(facts->stopped_badly, name));
    add_injected(facts, evidence);
    return VERDICT_CRASHED;
}

static enum verdict judge_deaf(const struct facts *facts, char *evidence)
{
    add_client(facts, evidence);
    if (facts->recovery_tried)
        add(evidence, ", and none in %" PRIu64 " ms after the faults ended", facts->patience_ms);
    add_injected(facts, evidence);
    return VERDICT_DEAF;
}

static enum verdict judge_tested(const struct facts *facts, char *evidence)
{
    if (facts->server_ended)
        return judge_end(facts, evidence);
    if (facts->stopped_badly != 0)
        return judge_bad_stop(facts, evidence);
    if (facts->client_ok || facts->recovered)
        return judge_served(facts, evidence);
    return judge_deaf(facts, evidence);
}

enum verdict verdict_judge(const struct facts *facts, char evidence[VERDICT_TEXT_MAX])
{
    evidence[0] = '\0';
    if ((!facts->asked && !facts->before_ready) || facts->interrupted)
        return VERDICT_NONE;
    if (facts->injected > 0)
        return judge_tested(facts, evidence);
    /* What it did without a fault is no verdict, but it may say why there was none. */
    add(evidence, "no fault was injected; ");
    if (facts->server_ended || facts->stopped_badly != 0 || facts->client_ok)
        judge_tested(facts, evidence);
    else
        add_client(facts, evidence);
    return VERDICT_UNTESTED;
}
