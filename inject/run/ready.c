#include "run/ready.h"

#include <string.h>

/* Records of several threads come in any order: the time decides who was first. */
static void note(struct listening *listening, const struct event *event, const struct endpoint *endpoint)
{
    if (listening->t_ns == 0 || event->t_ns < listening->t_ns)
        *listening = (struct listening){.t_ns = event->t_ns, .pid = event->pid, .endpoint = *endpoint};
}

void ready_event(struct ready *ready, const struct event *event, const void *payload)
{
    struct endpoint endpoint;
    if (event->kind != EVENT_LISTENING && event->kind != EVENT_READY)
        return;
    bool known = endpoint_set(&endpoint, payload, event->payload);
    if (event->kind == EVENT_READY) {
        ready->seen = true;
        note(&ready->waited, event, &endpoint);
        ready->waited.pid = event->pid;
        if (!known)
            memset(&ready->waited.endpoint, 0, sizeof ready->waited.endpoint);
    } else if (known) {
        note(endpoint_is_tcp(&endpoint) ? &ready->first_tcp : &ready->first_unix, event, &endpoint);
    }
}

bool ready_endpoint(const struct ready *ready, struct endpoint *out)
{
    const struct listening *chosen = ready->first_tcp.t_ns != 0    ? &ready->first_tcp
                                     : ready->first_unix.t_ns != 0 ? &ready->first_unix
                                                                   : &ready->waited;
    if (chosen->endpoint.length == 0)
        return false;
    *out = chosen->endpoint;
    endpoint_aim(out, chosen->pid);
    return true;
}
