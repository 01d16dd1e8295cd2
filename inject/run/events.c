/*
 * events.c - what a record of the shim means to the run.
 */
#include "run/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/say.h"
#include "trace/strace.h"

/*
 * Whether a successful accept shows that the server took a client on.  Not if the rule made up its result; and a server
 * that was told lies about the peer may well drop it (libevent does), which only an exchange would tell.
 */
static bool shows_service(struct session *session, const struct event *event)
{
    struct rulebook_rule rule;
    if (!(event->flags & EVENT_INJECTED) || !rulebook_find(session->rules, event->rule, &rule))
        return true;
    if (rule.actions & ACT_RETURN)
        return false;
    return session->options->ask != ASK_CONNECT || !(rule.actions & (ACT_SOCKLEN | ACT_FAMILY));
}

static void count_seen(struct session *session, const struct event *event)
{
    if (event->call >= CALL_COUNT)
        return;
    struct seen_calls *seen = &session->seen[event->call];
    seen->count++;
    seen->failed += event->ret < 0;
    seen->injected += (event->flags & EVENT_INJECTED) != 0;
}

/* A descriptor that a rule made up (retval=) is no ring. */
static void ring_seen(struct session *session, const struct event *event)
{
    struct rulebook_rule rule;
    bool injected = (event->flags & EVENT_INJECTED) && rulebook_find(session->rules, event->rule, &rule);
    if (event->ret < 0 || (injected && (rule.actions & ACT_RETURN)))
        return;
    unseen_ring(session->unseen, event->pid, attach_name(session->attach, event->pid));
}

/* Counts EVENT at its call site. */
static void count_at_site(struct session *session, const struct event *event)
{
    struct rulebook_rule rule;
    bool found = rulebook_find(session->rules, event->rule, &rule);
    sites_count(session->sites, event, found ? rule.number : 0);
}

static void call_seen(struct session *session, const struct event *event, const void *payload)
{
    size_t length;
    const void *address = event_address(event, payload, &length);
    bool accept = event->call == CALL_accept || event->call == CALL_accept4;
    session->calls++;
    if (session->sites != NULL && event->site != 0)
        count_at_site(session, event);
    count_seen(session, event);
    if (accept)
        unseen_accept(session->unseen);
    if (event->call == CALL_io_uring_setup)
        ring_seen(session, event);
    if (accept && event->ret >= 0 && session->probe != NULL && shows_service(session, event))
        probe_accepted(session->probe, address, length, event->t_ns + event->dur_ns);
}

void event_seen(void *context, const struct event *event, const void *payload)
{
    struct session *session = context;
    attach_event(session->attach, event, payload);
    ready_event(&session->ready, event, payload);
    if (event->kind == EVENT_CALL)
        call_seen(session, event, payload);
    if (session->script != NULL)
        session->script->seen(session, event, payload);
}

/* Which calls `snag trace` shows: those that were chosen, and those that a rule acted on. */
static bool is_shown(const struct session *session, const struct event *event)
{
    return !session->options->live || event->kind != EVENT_CALL || event->rule != 0 ||
           (event->call < CALL_COUNT && session->chosen[event->call]);
}

/* In one piece, so that nothing comes between a call and its stack.  Without memory for that, there is no stack. */
static void print_with_stack(struct session *session, const struct event *event, const char *line)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    const struct site *site = sites_find(session->sites, event->site);
    if (out == NULL) {
        output_line(session->output, line, strlen(line));
        return;
    }
    fputs(line, out);
    if (site != NULL)
        strace_stack(site, out);
    else
        fputs(" > the stack could not be walked\n", out);
    if (fclose(out) == 0)
        output_line(session->output, text, length);
    free(text);
}

/* As strace does: threads are named as soon as there is more than one. */
static void print_call(struct session *session, const struct event *event, const void *payload, unsigned actions)
{
    char line[STRACE_LINE_MAX];
    if (session->only_tid == 0)
        session->only_tid = event->tid;
    if (session->only_tid != event->tid)
        session->only_tid = -1;
    size_t length = strace_line(line, event, payload, actions, session->only_tid == -1);
    if (session->options->stacks)
        print_with_stack(session, event, line);
    else
        output_line(session->output, line, length);
}

/* A script's trace has an end, for a server that spins makes a million calls a second. */
static bool is_too_much(struct session *session, const struct event *event)
{
    return session->script != NULL && event->kind == EVENT_CALL && session->traced++ >= session->script->trace_max;
}

void event_ordered(void *context, const struct event *event, const void *payload)
{
    struct session *session = context;
    struct rulebook_rule rule = {.number = 0};
    if (!rulebook_find(session->rules, event->rule, &rule))
        rule.number = 0;
    if (!is_shown(session, event) || is_too_much(session, event))
        return;
    if (session->trace != NULL)
        jsonl_event(session->trace, event, payload, rule.number);
    else if (event->kind == EVENT_CALL)
        print_call(session, event, payload, rule.actions);
}

void events_flush(struct session *session)
{
    if (!session->options->live || session->unwritable)
        return;
    if (session->trace != NULL ? jsonl_flush(session->trace) == 0 : output_flush(session->output) == 0)
        return;
    session->unwritable = true;
    if (session->trace != NULL)
        say_error("can't write the trace %s: %s", session->options->trace_path, strerror(errno));
    else
        say_error("can't print the trace: %s", strerror(errno));
    session_fail(session);
}
