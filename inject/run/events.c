/*
 * events.c - what a record of the shim means to the run.
 */
#include "run/session.h"

#include <string.h>

/*
 * Whether a successful accept shows that the server took a client on.  Not if the rule made up its result; and a server
 * that was told lies about the peer may well drop it (libevent does), which only an exchange would tell.
 */
static bool shows_service(struct session *session, const struct event *event)
{
    if (!(event->flags & EVENT_INJECTED) || event->rule == 0 || event->rule > session->board->rule_count)
        return true;
    uint32_t actions = board_rules(session->board)[event->rule - 1].actions;
    if (actions & ACT_RETURN)
        return false;
    return session->options->ask != ASK_CONNECT || !(actions & (ACT_SOCKLEN | ACT_FAMILY));
}

static void call_seen(struct session *session, const struct event *event, const void *payload)
{
    bool accept = event->call == CALL_accept || event->call == CALL_accept4;
    session->calls++;
    if (accept && event->ret >= 0 && session->probe != NULL && shows_service(session, event))
        probe_accepted(session->probe, payload, event->payload, event->t_ns + event->dur_ns);
}

void event_seen(void *context, const struct event *event, const void *payload)
{
    struct session *session = context;
    attach_event(session->attach, event, payload);
    ready_event(&session->ready, event, payload);
    if (event->kind == EVENT_CALL)
        call_seen(session, event, payload);
}

/* The board numbers its rules; the user's may be split into several of these, and share a tally. */
void event_ordered(void *context, const struct event *event, const void *payload)
{
    struct session *session = context;
    struct event copy;
    memcpy(&copy, event, sizeof copy);
    if (copy.rule > session->board->rule_count)
        copy.rule = 0;
    if (copy.rule != 0)
        copy.rule = (uint16_t)(board_rules(session->board)[copy.rule - 1].tally + 1);
    jsonl_event(session->trace, &copy, payload);
}
