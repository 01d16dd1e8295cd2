/*
 * unwind.h - a stack, walked by libunwind.
 *
 * libunwind is asked through its interface for other address spaces, though the stack is our own.  Then it has its memory
 * and its unwind tables from us, and does none of the things by which its usual interface breaks programs: it opens no pipe to
 * test memory with (a daemon closes that, and libunwind reads from the daemon's next sockets), takes no lock of the
 * loader (a fork in the middle of dl_iterate_phdr() leaves it locked in the child), keeps no cache in each thread (made
 * by malloc, in the middle of whatever the thread does) and knows nothing of code that was unloaded.  It comes by
 * dlopen(RTLD_LOCAL): it brings functions that the program has from libgcc (_Unwind_RaiseException).
 */
#ifndef SNAG_SHIM_UNWIND_H
#define SNAG_SHIM_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRAIL_MAX = 96, /* frames of a stack that are looked at, of which STACK_FRAMES are shown */
    FP_UNKNOWN = -1,
};

/*
 * One frame, as it lies on the stack.  Places are in bytes from the frame of the wrapper: `frame` below.  A later call
 * that finds all the same values in the same places, from the inside out, has come the same way: the places follow from
 * the code that each return address is in and, where that code makes room for arrays, from its frame pointer.
 */
struct step {
    uint64_t ip;   /* where it goes on */
    int32_t ip_at; /* where that is on the stack */
    int32_t fp_at; /* where its frame pointer is; FP_UNKNOWN: it has none on this stack */
    int64_t fp;    /* what that points to, as a place */
};

struct trail {
    size_t count;
    bool lasting; /* each value is in its place on the stack; not so behind a signal handler */
    struct step steps[TRAIL_MAX];
};

/* Loads libunwind.  Returns false if it is not there, or can't be used. */
bool unwind_begin(void);

/*
 * Walks the calling thread's stack from FRAME on, the frame address (__builtin_frame_address()) of a function that has
 * not returned: fills OUT with its callers, innermost first.  Returns false if that can't be done.  For one thread at a time;
 * signals must be blocked.
 */
bool unwind_walk(const void *frame, struct trail *out);

#endif
