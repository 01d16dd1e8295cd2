#include "run/notified.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run/callsite.h"
#include "run/clock.h"
#include "run/readiness.h"

#define RESOLVE_PATIENCE_NS (10 * NS_PER_S)
#define RESOLVE_POLL_NS (NS_PER_MS / 2)

enum { CONFIRMS_MAX = 12 }; /* looks at a socket that is to listen, each twice as far from the last */

static uint64_t argument(const struct notified *call, size_t i)
{
    return call->notif.data.args[i];
}

/* The descriptor that CALL names, -1 if none. */
static int named_fd(const struct notified *call)
{
    if (call->call == CALL_epoll_ctl)
        return (int)argument(call, 2);
    return call_info(call->call)->traits & FD ? (int)argument(call, 0) : -1;
}

static void plan_action(struct notified *call)
{
    const struct rule *rule = call->decision.rule;
    if (call->decision.yielded)
        return;
    call->acts = true;
    if (rule->actions & ACT_FAIL) {
        bool first_time = !call->decision.repeated;
        call->error = rule->error;
        call->ret = -1;
        call->consume = first_time && calls_have(rule->consumes, call->call);
        call->replaced = !call->consume;
    }
    if (rule->actions & ACT_RETURN) {
        call->replaced = true;
        call->ret = rule->retval;
    }
    if (rule->actions & ACT_DELAY_ENTER)
        call->due_ns = clock_ns() + rule->delay_enter_ns;
}

/* Whether somebody wants to know where CALL was made: a record of it, or a rule that may be about it. */
static bool wants_site(const struct notified *call)
{
    return call->supervisor->board->sites && (call->want & WANT_SITE) &&
           ((call->want & WANT_RECORD) || decide_concerns(call->supervisor->board, call->call, call->scene.fd));
}

static void begin(struct notified *call)
{
    call->want = __atomic_load_n(&call->supervisor->board->wanted[call->call], __ATOMIC_RELAXED);
    call->begin = recorder_stamp(call->supervisor->recorder);
    call->scene.ops = &outside_scene_ops;
    call->scene.call = call->call;
    call->scene.fd = named_fd(call);
}

static void decide_about(struct notified *call)
{
    bool accepts = call_info(call->call)->class == OF_ACCEPT;
    struct board *board = call->supervisor->board;
    call->stage = STAGE_ENTER;
    call->due_ns = 0;
    call->scene.has_address = accepts && argument(call, 1) != 0;
    call->scene.struck = call->process->struck;
    if (accepts && (call->want & WANT_RULE))
        call->scene.fallback = &call->thread->fallback;
    if (!accepts && (call->want & WANT_BREAK))
        call->thread->fallback.error = 0;
    if (accepts)
        readiness_accept(call);
    if (call->call == CALL_listen)
        call->arg = (uint32_t)argument(call, 1);
    if ((call->want & WANT_RULE) && decide(board, &call->scene, &call->decision))
        plan_action(call);
    if ((call->want & WANT_ARGUMENTS) && ((call->want & WANT_RECORD) || call->decision.rule != NULL))
        evidence_take(call);
}

/* Finds out where CALL was made.  Rules that ask for functions act from the first call on: snag looks them up meanwhile. */
static enum outcome find_site(struct notified *call)
{
    if (call->resolve_ns == 0) {
        begin(call);
        if (!wants_site(call))
            return ANSWERED;
        if (call->supervisor->callsites != NULL && !callsite_find(call))
            return AGAIN;
        if (call->stack == NULL)
            atomic_fetch_add_explicit(&call->supervisor->board->unwalked, 1, memory_order_relaxed);
        call->resolve_ns = clock_ns() + RESOLVE_PATIENCE_NS;
    }
    if (callsite_is_resolved(call) || clock_ns() > call->resolve_ns)
        return ANSWERED;
    call->due_ns = clock_ns() + RESOLVE_POLL_NS;
    return PARK;
}

bool notified_is_valid(const struct notified *call)
{
    uint64_t id = call->notif.id;
    return ioctl(call->supervisor->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static enum outcome respond(struct notified *call, struct seccomp_notif_resp *response)
{
    response->id = call->notif.id;
    if (ioctl(call->supervisor->listener, SECCOMP_IOCTL_NOTIF_SEND, response) == 0)
        return ANSWERED;
    call->taken = true;
    return TAKEN;
}

enum outcome notified_answer(struct notified *call)
{
    struct seccomp_notif_resp response = {.val = call->ret, .error = call->ret < 0 ? -call->error : 0};
    if (call->ret < 0)
        response.val = 0;
    return respond(call, &response);
}

static unsigned event_flags(const struct notified *call)
{
    unsigned flags = call->has_payload ? EVENT_ARGUMENTS : 0;
    if (call->unobserved)
        flags |= EVENT_UNOBSERVED;
    if (call->decision.rule == NULL)
        return flags;
    if (call->decision.yielded)
        flags |= EVENT_YIELDED;
    else if (call->missed)
        flags |= EVENT_MISSED;
    else if (call->acts)
        flags |= EVENT_INJECTED;
    if (call->decision.repeated)
        flags |= EVENT_REPEATED;
    if (call->acts && call->consume && !call->missed)
        flags |= EVENT_CONSUMED;
    return flags;
}

/* Puts what is shown of the arguments before the address; returns the payload, whose size goes to *SIZE. */
static const void *payload_of(struct notified *call, const void *address, size_t *size)
{
    if (!call->has_payload)
        return address;
    size_t used = (size_t)call->given.before + call->given.after, left = sizeof call->bytes - used;
    size_t known = *size < left ? *size : left;
    if (known > 0)
        memcpy(call->bytes + used, address, known);
    *size = sizeof call->given + used + known;
    return &call->given;
}

_Static_assert(offsetof(struct notified, bytes) == offsetof(struct notified, given) + sizeof(struct event_arguments),
               "the payload is one piece");

void notified_record(struct notified *call, const void *address, size_t length)
{
    if (call->decision.rule == NULL && !(call->want & WANT_RECORD))
        return;
    const void *payload = payload_of(call, address, &length);
    uint64_t end = call->replaced ? call->begin : recorder_stamp(call->supervisor->recorder);
    struct event event = {
        .kind = EVENT_CALL,
        .t_ns = call->begin,
        .dur_ns = call->unobserved ? 0 : end - call->begin,
        .pid = call->process->pid,
        .tid = call->thread->tid,
        .fd = call->scene.fd,
        .ret = call->unobserved ? -1 : call->ret,
        .err = call->ret < 0 && !call->unobserved ? (uint16_t)call->error : 0,
        .call = (uint16_t)call->call,
        .rule = call->decision.rule != NULL ? (uint16_t)call->decision.rule->number : 0,
        .flags = (uint16_t)event_flags(call),
        .nth = call->decision.rule != NULL ? call->decision.nth : 0,
        .arg = call->arg,
        .site = call->stack != NULL ? atomic_load_explicit(&call->stack->id, memory_order_relaxed) : 0,
    };
    recorder_write(call->supervisor->recorder, &event, payload, length);
}

void notified_miss(struct notified *call)
{
    if (call->acts && !call->missed && !call->decision.repeated)
        decide_missed(call->supervisor->board, &call->decision);
    call->missed = true;
}

static void note_result(struct notified *call)
{
    int error = call->ret < 0 && !call->unobserved ? call->error : 0;
    if (call->scene.fallback != NULL)
        decide_note(call->scene.fallback, call->call, call->scene.fd, error, call->acts ? &call->decision : NULL);
}

/* What the kernel is about to do to descriptors that are counted. */
static void note_freed(struct notified *call)
{
    unsigned first = (unsigned)argument(call, 0), second = (unsigned)argument(call, 1);
    if (call->call == CALL_close)
        process_forget_fds(call->process, first, first);
    if ((call->call != CALL_dup2 && call->call != CALL_dup3) || first == second)
        return;
    process_forget_fds(call->process, second, second);
    call->process->replaced++;
}

/* The address that bind is given, for its record. */
static socklen_t bind_address(struct notified *call, struct sockaddr_storage *out)
{
    uint64_t given = argument(call, 2);
    socklen_t length = given < sizeof *out ? (socklen_t)given : sizeof *out;
    if (call->call != CALL_bind || !target_read(call->thread->tid, argument(call, 1), out, length))
        return 0;
    return length;
}

enum outcome notified_let_through(struct notified *call)
{
    struct seccomp_notif_resp response = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    struct sockaddr_storage address;
    socklen_t length = bind_address(call, &address);
    if (respond(call, &response) == TAKEN)
        return TAKEN;
    note_freed(call);
    call->unobserved = true;
    note_result(call);
    if (call->call == CALL_listen) {
        call->stage = STAGE_CONFIRM;
        call->due_ns = clock_ns() + NS_PER_MS / 4;
        return PARK;
    }
    notified_record(call, &address, length);
    return ANSWERED;
}

enum outcome notified_finish(struct notified *call)
{
    struct sockaddr_storage address;
    if (call->acts && call->stage != STAGE_EXIT && (call->decision.rule->actions & ACT_DELAY_EXIT)) {
        call->stage = STAGE_EXIT;
        call->due_ns = clock_ns() + call->decision.rule->delay_exit_ns;
        return PARK;
    }
    if (call->connection >= 0)
        return takeover_run(call);
    socklen_t length = bind_address(call, &address);
    if (notified_answer(call) == TAKEN)
        return TAKEN;
    note_result(call);
    if (call->peer_length > 0)
        notified_record(call, &call->peer, call->peer_length);
    else
        notified_record(call, &address, length);
    return ANSWERED;
}

/* A rule wants another backlog, or time to pass behind it: it is made by us, on a duplicate, and is the same call. */
static enum outcome run_listen(struct notified *call)
{
    const struct rule *rule = call->decision.rule;
    int duplicate = process_fd(call->process, call->scene.fd);
    if (rule->actions & ACT_BACKLOG)
        call->arg = (uint32_t)rule->backlog;
    call->ret = duplicate >= 0 ? listen(duplicate, (int)call->arg) : -1;
    call->error = call->ret < 0 ? errno : 0;
    if (call->ret == 0)
        notified_listening(call, call->scene.fd, duplicate);
    if (duplicate >= 0)
        close(duplicate);
    return notified_finish(call);
}

/* The call went its own way; whether it listens now is the one result that can be seen. */
static enum outcome confirm(struct notified *call)
{
    int duplicate = process_fd(call->process, call->scene.fd);
    bool listens = duplicate >= 0 && notified_listening(call, call->scene.fd, duplicate);
    if (duplicate >= 0)
        close(duplicate);
    if (!listens && duplicate >= 0 && call->tries++ < CONFIRMS_MAX) {
        call->due_ns = clock_ns() + (NS_PER_MS / 4 << call->tries);
        return PARK;
    }
    call->unobserved = !listens;
    call->ret = 0;
    notified_record(call, NULL, 0);
    return ANSWERED;
}

/*
 * The signal may take the call from us before it is answered; it comes again then, and the signal does not.  If it
 * doesn't, for the handler was installed without SA_RESTART, the server gets EINTR.
 */
static void send_signal(struct notified *call)
{
    if (!call->acts || call->signalled || !(call->decision.rule->actions & ACT_SIGNAL))
        return;
    call->signalled = true;
    syscall(SYS_tgkill, call->process->pid, call->thread->tid, call->decision.rule->signal);
}

enum outcome notified_run(struct notified *call)
{
    unsigned actions = call->acts ? call->decision.rule->actions : 0;
    if (call->stage == STAGE_CONFIRM)
        return confirm(call);
    if (call->stage == STAGE_SITE) {
        enum outcome outcome = find_site(call);
        if (outcome != ANSWERED)
            return outcome;
        decide_about(call);
    }
    if (call->stage != STAGE_CALL && call->due_ns != 0 && clock_ns() < call->due_ns)
        return PARK;
    if (call->stage == STAGE_EXIT)
        return notified_finish(call);
    if (call->stage == STAGE_ENTER)
        send_signal(call);
    if (call->replaced)
        return notified_finish(call);
    if (takeover_wanted(call))
        return takeover_run(call);
    if (call->call == CALL_listen && (actions & (ACT_BACKLOG | ACT_DELAY_EXIT)))
        return run_listen(call);
    return notified_let_through(call);
}

bool notified_listening(struct notified *call, int fd, int duplicate)
{
    return readiness_listening(call->supervisor, call->process->pid, fd, duplicate);
}
