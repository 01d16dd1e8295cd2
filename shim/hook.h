/*
 * hook.h - what every wrapper does around the real call.
 *
 *     int listen(int fd, int backlog)
 *     {
 *         struct hook hook;
 *         if (!hook_enter(&hook, CALL_listen, fd))
 *             return REAL(listen)(fd, backlog);            // the usual case: a load and a branch
 *         int ret = hook.replaced ? hook.ret : REAL(listen)(fd, hook_backlog(&hook, backlog));
 *         return hook_leave(&hook, ret);
 *     }
 *
 * The hook lives on the caller's stack, and nothing else remembers that a call is under way: siglongjmp out of the real
 * call, cancellation in it, and a signal handler that makes the same call in the middle of it leave nothing behind.
 */
#ifndef SNAG_HOOK_H
#define SNAG_HOOK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "session.h"

/* Marks a definition that stands before libc's. */
#define WRAPPER __attribute__((visibility("default")))

/* Belongs to the function that it is in, whose frame address it takes: one that does not return before the hook ends. */
#define HOOK_INLINE __attribute__((always_inline)) static inline

/* What the record of a call shows of its arguments: the payload as it will be. */
struct shown {
    struct event_arguments head;
    unsigned char bytes[EVENT_PAYLOAD_MAX - sizeof(struct event_arguments)];
};

struct hook {
    struct scene scene; /* first: scene_ops find the hook through it */
    struct decision decision;
    enum call call;
    unsigned want;      /* of enum board_want */
    bool acts;          /* a rule acts on this call, in whatever way */
    bool replaced;      /* do not make the call: it returns `ret`, with errno `error` if that is -1 */
    bool consume;       /* make it, reset the connection that it returns, and fail with `error` */
    bool overrule;      /* make it, and fail with `error` whatever it returned */
    bool missed;        /* set by who finds that there was nothing to consume or to tamper with */
    bool shows;         /* `shown` is filled; that and the next are show.h's business */
    bool shows_no_more; /* a piece could not be read, or there is no room */
    int ret;
    int error;
    uint64_t t_ns;       /* at entry; 0: not known, for nothing is to be recorded yet */
    const void *frame;   /* the wrapper's frame address: who called it is found from there */
    bool walked;         /* `stack` is set */
    struct stack *stack; /* the call site; NULL: it is not known */
    uint32_t arg;        /* for the record: backlog, address length, option length */
    int domain;          /* of socket, socketpair; the next two of bind: for the filters; unset for other calls */
    const struct sockaddr *address;
    socklen_t length;
    struct shown shown;
};

/* Decides what happens to the call in HOOK; delays and signals that come before it are done here.  errno is kept. */
void hook_begin(struct hook *hook);

/* Whether anybody wants to know of CALL: the load and the branch that every wrapper costs. */
static inline bool hook_wanted(enum call call)
{
    return __builtin_expect(snag_wanted[call] != 0, 0);
}

/*
 * Whether CALL on FD, which somebody wants to know of, needs a hook: not if that is for the rules alone, none of them is
 * about this descriptor, and it can't be the second half of a logical call.  (A rule for any descriptor has WANT_ANY_FD set,
 * and the rules are not looked through.)
 */
static inline bool hook_concerns(enum call call, int fd)
{
    return (snag_wanted[call] & ~WANT_SITE) != WANT_RULE || snag_thread.fallback.error != 0 ||
           decide_concerns(snag_board, call, fd);
}

/*
 * Fills HOOK for a call on FD, -1 if it names none.  What filters and records need beyond that, the wrapper fills in.
 * Field by field: to zero the whole of it would cost more than all the rest of a call that no rule fires on.
 */
HOOK_INLINE void hook_init(struct hook *hook, enum call call, int fd)
{
    hook->frame = __builtin_frame_address(0);
    hook->walked = false;
    hook->call = call;
    hook->want = snag_wanted[call];
    hook->scene.call = call;
    hook->scene.fd = fd;
    hook->scene.has_address = false;
    hook->scene.fallback = NULL;
    hook->decision.rule = NULL;
    hook->acts = hook->replaced = hook->consume = hook->overrule = hook->missed = hook->shows = false;
    hook->t_ns = 0;
    hook->arg = 0;
}

/* All of the above, for the plain calls.  False: make the call and return, nobody wants to know.  errno is kept. */
HOOK_INLINE bool hook_enter(struct hook *hook, enum call call, int fd)
{
    if (!hook_wanted(call) || !hook_concerns(call, fd))
        return false;
    hook_init(hook, call, fd);
    session_break(hook->want);
    hook_begin(hook);
    return true;
}

/*
 * Ends a call that returned RET, with errno as the call left it: delays, records, and returns what the caller must
 * return, with errno set to what it must find.  hook_leave_with() also records an address.
 */
int hook_leave(struct hook *hook, int ret);
int hook_leave_with(struct hook *hook, int ret, const void *address, socklen_t length);

/* The call site, looked for when it is first asked for; NULL if it is not known. */
struct stack *hook_site(struct hook *hook);

/* The backlog that listen is to be called with. */
int hook_backlog(const struct hook *hook, int backlog);

/* The answers to decide()'s questions, for a hook in this process. */
extern const struct scene_ops hook_scene_ops;

#endif
