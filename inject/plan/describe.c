/*
 * describe.c - a rule in words: what it does to which calls, what becomes of a pending connection, when it acts, and
 * what is left out of it.  A sentence each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/call.h"
#include "plan/duration.h"
#include "plan/names.h"
#include "plan/plan.h"
#include "plan/plan_rules.h"

/* Text of the user's, with control characters escaped. */
static void print_user(FILE *out, const char *text)
{
    diag_print_text((struct slice){text, strlen(text)}, out);
}

/* "accept", "accept and accept4", "socket, bind and listen". */
static void print_calls(FILE *out, const uint64_t calls[CALL_WORDS])
{
    size_t left = calls_count(calls);
    if (left == CALL_COUNT) {
        fprintf(out, "every call that snag knows");
        return;
    }
    for (enum call call = 0; call < CALL_COUNT; call++) {
        if (!calls_have(calls, call))
            continue;
        left--;
        fprintf(out, "%s%s", call_info(call)->name, left == 0 ? "" : left == 1 ? " and " : ", ");
    }
}

/* Returns the cause of the rule's errno if it is the same for all its calls, else NULL. */
static const char *common_cause(const struct rule *rule)
{
    const char *cause = NULL;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        const struct call_errno *row = call_errno(call, rule->error);
        if (!rule_names(rule, call))
            continue;
        if (row == NULL || (cause && strcmp(cause, row->cause) != 0))
            return NULL;
        cause = row->cause;
    }
    return cause;
}

static void print_error(FILE *out, const struct rule *rule)
{
    const char *name = errno_name(rule->error), *cause = common_cause(rule);
    if (name)
        fprintf(out, " fail with %s", name);
    else
        fprintf(out, " fail with errno %d", rule->error);
    if (cause)
        fprintf(out, " (%s)", cause);
}

/* What happens around a call that is made: the changes that go with it, each introduced by a comma. */
static void print_changes(FILE *out, const struct rule *rule)
{
    const char *family = family_name(rule->family);
    if (rule->actions & ACT_BACKLOG)
        fprintf(out, ", with a backlog of %" PRId32, rule->backlog);
    if (rule->actions & ACT_SOCKLEN)
        fprintf(out, ", then reports an address length of %" PRIu32, rule->socklen);
    if ((rule->actions & ACT_FAMILY) && family)
        fprintf(out, ", then reports the address family %s", family);
    else if (rule->actions & ACT_FAMILY)
        fprintf(out, ", then reports the address family %d", rule->family);
    if (rule->actions & ACT_FDMIN)
        fprintf(out, ", then moves the new descriptor to %" PRId32 " or above", rule->fdmin);
}

static void print_action(FILE *out, const struct rule *rule)
{
    bool replaced = rule->actions & (ACT_FAIL | ACT_RETURN);
    char text[DURATION_TEXT_MAX], name[SIGNAL_NAME_MAX];
    fprintf(out, replaced ? "Makes " : "Lets ");
    print_calls(out, rule->calls);
    if (rule->actions & ACT_FAIL)
        print_error(out, rule);
    else if (rule->actions & ACT_RETURN)
        fprintf(out, " return %" PRId32 " without being called", rule->retval);
    else
        fprintf(out, " go ahead");
    print_changes(out, rule);
    if (rule->actions & ACT_SIGNAL)
        fprintf(out, ", after sending %s to the calling thread", signal_name(rule->signal, name));
    if (rule->actions & ACT_DELAY_ENTER)
        fprintf(out, ", after a delay of %s", duration_text(rule->delay_enter_ns, text));
    if (rule->actions & ACT_DELAY_EXIT)
        fprintf(out, ", and delays the return by %s", duration_text(rule->delay_exit_ns, text));
    fprintf(out, ".");
}

/* Collects the calls of RULE whose failure has EFFECT in the kernel.  An errno that is forced touches nothing. */
static size_t calls_with_effect(const struct rule *rule, enum call_effect effect, uint64_t calls[CALL_WORDS])
{
    memset(calls, 0, CALL_WORDS * sizeof calls[0]);
    for (enum call call = 0; call < CALL_COUNT; call++) {
        const struct call_errno *row = call_errno(call, rule->error);
        if (rule_names(rule, call) && (row ? row->effect : KEEPS) == effect)
            calls_add(calls, call);
    }
    return calls_count(calls);
}

/* " For accept and accept4, SENTENCE", or the sentence alone when it is true of all calls of the rule. */
static void print_for(FILE *out, const struct rule *rule, const uint64_t calls[CALL_WORDS], const char *sentence)
{
    if (calls_count(calls) == calls_count(rule->calls)) {
        fprintf(out, " %c%s", sentence[0] - 'a' + 'A', sentence + 1);
        return;
    }
    fprintf(out, " For ");
    print_calls(out, calls);
    fprintf(out, ", %s", sentence);
}

static void print_queue(FILE *out, const struct rule *rule)
{
    static const char keeps[] = "a pending connection stays in the queue.";
    /* The kernel hands the connection of an EFAULT to nobody and closes it; the others are errors of the connection. */
    const char *consumes =
        rule->error == EFAULT
            ? "the pending connection is taken out of the queue and closed; with an empty queue and a "
              "non-blocking socket the call says EAGAIN and counts as missed."
            : "the pending connection is taken out of the queue and reset; with an empty queue and a "
              "non-blocking socket the call says EAGAIN and counts as missed.";
    uint64_t accepts[CALL_WORDS] = {0}, calls[CALL_WORDS];
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (rule_names(rule, call) && call_info(call)->class == OF_ACCEPT)
            calls_add(accepts, call);
    if (calls_count(accepts) && rule->queue != QUEUE_AS_KERNEL) {
        print_for(out, rule, accepts, rule->queue == QUEUE_KEEP ? keeps : consumes);
        return;
    }
    if (calls_count(accepts) && calls_with_effect(rule, CONSUMES, calls))
        print_for(out, rule, calls, consumes);
    else if (calls_count(accepts))
        print_for(out, rule, accepts, keeps);
    if (calls_with_effect(rule, ACTS, calls))
        print_for(out, rule, calls, "the call does its work all the same.");
}

static void print_shortage(FILE *out, const struct rule *rule)
{
    uint64_t pairs[CALL_WORDS] = {0};
    if (rule->error != EMFILE && rule->error != ENFILE)
        return;
    if (rule->sticky) {
        fprintf(out, " That the process closes descriptors changes nothing.");
        return;
    }
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (rule_names(rule, call) && (call_info(call)->traits & PAIR))
            calls_add(pairs, call);
    if (calls_count(pairs) < calls_count(rule->calls))
        fprintf(out, " Each descriptor that the process closes lets one call through.");
    if (calls_count(pairs))
        print_for(out, rule, pairs, "it takes two closed descriptors to let one through.");
}

/* The first few of a rule's ordinals, and how it goes on: "3, 7, 11 and so on", "3, 7, 11 and so on up to 50". */
static void print_steps(FILE *out, const struct rule *rule)
{
    enum { SHOWN = 3 };
    uint64_t ordinal = rule->first, last = rule->last;
    fprintf(out, "matching calls ");
    for (int i = 0; i < SHOWN && ordinal <= last; i++, ordinal += rule->step)
        fprintf(out, "%s%" PRIu64, i ? ", " : "", ordinal);
    if (ordinal <= last)
        fprintf(out, " and so on");
    if (ordinal <= last && last != UINT32_MAX)
        fprintf(out, " up to %" PRIu64, last);
}

/* The calls that when= picks, of those that match. */
static void print_when(FILE *out, const struct rule *rule)
{
    bool open = rule->last == UINT32_MAX;
    if (rule->step == 0 || rule->last - rule->first < rule->step)
        fprintf(out, "matching call %" PRIu32 " alone", rule->first);
    else if (rule->step > 1)
        print_steps(out, rule);
    else if (open && rule->first == 1)
        fprintf(out, "every matching call");
    else if (open)
        fprintf(out, "matching call %" PRIu32 " and all after it", rule->first);
    else
        fprintf(out, "matching calls %" PRIu32 " to %" PRIu32, rule->first, rule->last);
}

static void print_probability(FILE *out, const struct rule *rule)
{
    if (rule->probability == 0)
        fprintf(out, ", with a probability of 0: never");
    else if (rule->probability != UINT64_MAX)
        fprintf(out, ", with a probability of %.10g", (double)rule->probability / 18446744073709551616.0);
}

static void print_trigger(FILE *out, const struct rule *rule)
{
    static const char *const scopes[] = {
        [PER_TREE] = "over all processes together", [PER_PROCESS] = "for each process",
        [PER_THREAD] = "for each thread",           [PER_FD] = "for each descriptor",
        [PER_SITE] = "for each call site",
    };
    fprintf(out, " Acts on ");
    print_when(out, rule);
    print_probability(out, rule);
    if (rule->times == 1)
        fprintf(out, ", once in all");
    else if (rule->times != UINT64_MAX)
        fprintf(out, ", at most %" PRIu64 " times in all", rule->times);
    fprintf(out, "; calls are counted %s.", scopes[rule->scope]);
}

static void print_local(FILE *out, const struct rule_address *local)
{
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(local->family, local->bytes, text, sizeof text);
    fprintf(out, local->family == AF_INET6 && local->port ? "[%s]" : "%s", text);
    if (local->port)
        fprintf(out, ":%d", local->port);
}

static void print_window(FILE *out, const struct rule *rule)
{
    const char *since = rule->after_start ? "the session starts" : "the server is ready";
    char text[DURATION_TEXT_MAX];
    if (rule->after_ns)
        fprintf(out, "%s after %s", duration_text(rule->after_ns, text), since);
    else
        fprintf(out, "as soon as %s", since);
    if (rule->for_ns != UINT64_MAX)
        fprintf(out, ", for %s", duration_text(rule->for_ns, text));
}

/* Starts one more condition of a call. */
static void print_and(FILE *out, bool *first)
{
    fprintf(out, "%s", *first ? " A call matches if " : ", and ");
    *first = false;
}

static void print_socket_filters(FILE *out, const struct rule *rule, bool *first)
{
    if (rule->filters & IF_FD) {
        print_and(out, first);
        fprintf(out, "its descriptor is %" PRId32, rule->fd);
    }
    if (rule->filters & IF_TYPE) {
        print_and(out, first);
        fprintf(out, "its socket is of the family %s", family_name(rule->type));
    }
    if (rule->filters & IF_PORT) {
        print_and(out, first);
        fprintf(out, "its socket's own port is %d", rule->port);
    }
    if (rule->filters & IF_LOCAL) {
        print_and(out, first);
        fprintf(out, "its socket's own address is ");
        print_local(out, &rule->local);
    }
}

static void print_glob(FILE *out, const char *what, const char *glob, bool *first)
{
    if (glob == NULL)
        return;
    print_and(out, first);
    fprintf(out, "%s matches '", what);
    print_user(out, glob);
    fprintf(out, "'");
}

static void print_filters(FILE *out, const struct plan_rule *source)
{
    const struct rule *rule = &source->rule;
    bool first = true;
    print_socket_filters(out, rule, &first);
    print_glob(out, "its socket's path", source->path, &first);
    print_glob(out, "the process's name", source->comm, &first);
    print_glob(out, "the thread's name", source->thread, &first);
    print_glob(out, "the function that makes it", source->caller, &first);
    print_glob(out, "a function on its stack", source->stack, &first);
    if (rule->filters & IF_SITE) {
        print_and(out, &first);
        fprintf(out, "it is made at the call site %016" PRIx64, rule->site);
    }
    if (rule->filters & IF_PENDING) {
        print_and(out, &first);
        fprintf(out, "a connection is waiting");
    }
    if (rule->actions & (ACT_SOCKLEN | ACT_FAMILY)) {
        print_and(out, &first);
        fprintf(out, "it asks for the address");
    }
    if (!first)
        fprintf(out, ".");
    if (rule->filters & IF_WINDOW) {
        fprintf(out, " Calls are counted from ");
        print_window(out, rule);
        fprintf(out, ".");
    }
}

void plan_describe(const struct plan *plan, size_t i, FILE *out)
{
    const struct plan_rule *source = plan_rule(plan, i);
    const struct rule *rule = &source->rule;
    print_action(out, rule);
    if (rule->actions & ACT_FAIL) {
        print_queue(out, rule);
        print_shortage(out, rule);
    }
    print_trigger(out, rule);
    print_filters(out, source);
    if (calls_count(source->left_out)) {
        fprintf(out, " Left out, for this can't be done to them: ");
        print_calls(out, source->left_out);
        fprintf(out, ".");
    }
    fprintf(out, "\n");
}
