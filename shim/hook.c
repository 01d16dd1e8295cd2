#include "hook.h"

#include <time.h>

#include "raw.h"
#include "record.h"
#include "show.h"
#include "site.h"

/* Sleeps for NS whatever signals come: a delay that a signal could cut short would not be the one asked for. */
static void pause_for(uint64_t ns)
{
    uint64_t until = session_now() + ns;
    struct timespec end = {.tv_sec = (time_t)(until / UINT64_C(1000000000)),
                           .tv_nsec = (long)(until % UINT64_C(1000000000))};
    while (snag_raw(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, raw_pointer(&end), 0, 0, 0) == -EINTR)
        ;
}

static void raise_here(int signal)
{
    raw3(SYS_tgkill, raw2(SYS_getpid, 0, 0), raw2(SYS_gettid, 0, 0), signal);
}

static void plan_failure(struct hook *hook, const struct rule *rule)
{
    bool first_time = !hook->decision.repeated;
    hook->error = rule->error;
    hook->ret = -1;
    hook->consume = first_time && calls_have(rule->consumes, hook->call);
    hook->overrule = first_time && calls_have(rule->overrules, hook->call);
    hook->replaced = !hook->consume && !hook->overrule;
}

/* A rule acts: does what comes before the call, and notes what is to become of the call. */
static void begin_action(struct hook *hook)
{
    const struct rule *rule = hook->decision.rule;
    if (!hook->t_ns)
        hook->t_ns = session_stamp();
    if (hook->decision.yielded)
        return;
    if (rule->actions & ACT_DELAY_ENTER)
        pause_for(rule->delay_enter_ns);
    if (rule->actions & ACT_SIGNAL)
        raise_here(rule->signal);
    if (rule->actions & ACT_FAIL)
        plan_failure(hook, rule);
    if (rule->actions & ACT_RETURN) {
        hook->replaced = true;
        hook->ret = rule->retval;
    }
    hook->acts = true;
}

/*
 * Behind a decision a stamp costs 6 ns more than before it, for it waits there for the counters; and where no rule acts, it
 * is for nothing.  So the thread's last decision says whether one is taken before: what was made to fail is tried again.
 */
void hook_begin(struct hook *hook)
{
    if ((hook->want & WANT_RECORD) || snag_thread.acted)
        hook->t_ns = session_stamp();
    if (!(hook->want & WANT_RULE))
        return;
    hook->scene.ops = &hook_scene_ops;
    hook->scene.struck = atomic_load_explicit(&session_process()->struck, memory_order_relaxed);
    bool acts = decide(snag_board, &hook->scene, &hook->decision);
    snag_thread.acted = acts;
    if (acts)
        begin_action(hook);
}

static unsigned event_flags(const struct hook *hook)
{
    unsigned flags = hook->shows ? EVENT_ARGUMENTS : 0;
    if (!hook->decision.rule)
        return flags;
    if (hook->decision.yielded)
        flags |= EVENT_YIELDED;
    else if (hook->missed)
        flags |= EVENT_MISSED;
    else if (hook->acts)
        flags |= EVENT_INJECTED;
    if (hook->decision.repeated)
        flags |= EVENT_REPEATED;
    if (hook->acts && hook->consume && !hook->missed)
        flags |= EVENT_CONSUMED;
    return flags;
}

struct stack *hook_site(struct hook *hook)
{
    if (!hook->walked)
        hook->stack = site_of(hook->call, hook->frame);
    hook->walked = true;
    return hook->stack;
}

/* A site that a rule asked for is known, and shown too. */
static uint64_t site_id(struct hook *hook)
{
    if (!hook->walked && !(hook->want & WANT_SITE))
        return 0;
    const struct stack *stack = hook_site(hook);
    return stack ? atomic_load_explicit(&stack->id, memory_order_relaxed) : 0;
}

static void record_call(struct hook *hook, int ret, int error, const void *address, socklen_t length)
{
    /* A stamp costs as much as a fifth of an injected call: what was not made, or not timed, has that of its entry alone. */
    bool timed = (hook->want & WANT_RECORD) && !hook->replaced;
    uint64_t end = timed ? session_stamp() : hook->t_ns, position;
    uint64_t site = site_id(hook);
    size_t size = length;
    if (hook->shows)
        address = show_payload(hook, address, &size);
    struct event *event = record_begin(EVENT_CALL, address, size, &position);
    if (!event)
        return;
    event->call = (uint16_t)hook->call;
    event->fd = hook->scene.fd;
    event->ret = ret;
    event->err = ret < 0 ? (uint16_t)error : 0;
    event->flags = (uint16_t)event_flags(hook);
    event->arg = hook->arg;
    event->t_ns = hook->t_ns;
    event->dur_ns = end - hook->t_ns;
    event->rule = hook->decision.rule ? (uint16_t)hook->decision.rule->number : 0;
    event->nth = hook->decision.rule ? hook->decision.nth : 0;
    event->site = site;
    record_end(event, position);
}

/*
 * What becomes of the result of a call that a rule acted on.  Returns it; *ERROR is its errno.  (By the rule's actions, not
 * by `replaced` and `overrule`: the compiler reads those two at once, and waits for each of their stores.)
 */
static int end_action(struct hook *hook, int ret, int *error)
{
    if (hook->missed && !hook->decision.repeated)
        decide_missed(snag_board, &hook->decision);
    const struct rule *rule = hook->decision.rule;
    if ((rule->actions & (ACT_FAIL | ACT_RETURN)) && !(hook->consume && hook->missed)) {
        ret = hook->ret;
        *error = hook->error;
    }
    if (rule->actions & ACT_DELAY_EXIT)
        pause_for(rule->delay_exit_ns);
    return ret;
}

/* Nothing of ours touches errno (raw.h), so it is read only where it says something, and written only for a fault. */
int hook_leave_with(struct hook *hook, int ret, const void *address, socklen_t length)
{
    int error = ret < 0 && !hook->replaced ? errno : 0;
    if (hook->acts)
        ret = end_action(hook, ret, &error);
    if (hook->scene.fallback)
        decide_note(hook->scene.fallback, hook->call, hook->scene.fd, error, hook->acts ? &hook->decision : NULL);
    if (hook->decision.rule || (hook->want & WANT_RECORD))
        record_call(hook, ret, error, address, length);
    if (hook->acts && ret < 0)
        errno = error;
    return ret;
}

int hook_leave(struct hook *hook, int ret)
{
    return hook_leave_with(hook, ret, NULL, 0);
}

int hook_backlog(const struct hook *hook, int backlog)
{
    if (hook->acts && (hook->decision.rule->actions & ACT_BACKLOG))
        return hook->decision.rule->backlog;
    return backlog;
}
