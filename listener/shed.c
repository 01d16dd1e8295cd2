/*
 * Shedding: at EMFILE a descriptor that was kept for this moment is closed, and the place that it leaves is used to accept
 * waiting clients one after the other and close them, so that they learn that they are not served.
 */
#include "observe.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SHED_A_ROUND = 64 };

/* Not a duplicate of the listening descriptor, which would keep its port, and not a file, which a chroot may not have. */
int shed_open_spare(void)
{
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* The spare belongs to this function between the two: another thread may change the policy or free the listener. */
static int shed_take_spare(struct event_listener *e)
{
    loop_lock(e);
    int spare = e->spare;
    e->spare = -1;
    loop_unlock(e);
    return spare;
}

static void shed_give_spare(struct event_listener *e, int spare)
{
    loop_lock(e);
    bool kept = e->spare < 0 && e->policy->spare && !e->freed;
    if (kept)
        e->spare = spare;
    loop_unlock(e);
    if (!kept && spare >= 0)
        close(spare);
}

void shed_keep_spare(struct event_listener *e)
{
    shed_give_spare(e, shed_open_spare());
}

/* Says how many clients it has sent away; none when there is no spare or its place was taken by another thread.  On a
   blocking descriptor one, for which the loop said "readable": a second accept could wait, and the loop with it. */
unsigned shed_clients(struct event_listener *e, const struct round *r)
{
    unsigned shed = 0, most = e->blocking ? 1 : SHED_A_ROUND;
    int spare = shed_take_spare(e);
    if (spare >= 0) {
        observe_call(&e->base, "close", spare);
        close(spare);
    }
    while (spare >= 0 && shed < most) {
        observe_call(&e->base, "accept4", r->fd);
        int s = accept4(r->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s < 0)
            break;
        observe_call(&e->base, "close", s);
        close(s);
        shed++;
    }
    shed_keep_spare(e);
    return shed;
}
