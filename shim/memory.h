/*
 * memory.h - copies to and from memory that the target named, and that may not be there: the kernel would say EFAULT,
 * so we must not crash.
 */
#ifndef SNAG_MEMORY_H
#define SNAG_MEMORY_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "raw.h"

/* Whether this process has asked for a seccomp filter, which may kill it for a system call of ours (wrap_filter.c). */
extern bool snag_filtered;

/*
 * Copies LENGTH bytes from FROM to TO, of which either may be the target's.  Returns false if they are not all there
 * (or, for TO, not writable).  The kernel does the copying; where something keeps it from that, a filter or its own lack
 * of memory, the pointers are trusted.  Behind a filter of the target's own the kernel is not even asked.
 */
static inline bool memory_copy(void *to, const void *from, size_t length)
{
    struct iovec target = {to, length}, source = {(void *)(uintptr_t)from, length};
    long done = -EPERM;
    if (!snag_filtered)
        done =
            snag_raw(SYS_process_vm_readv, raw2(SYS_getpid, 0, 0), raw_pointer(&target), 1, raw_pointer(&source), 1, 0);
    if (done >= 0 || done == -EFAULT)
        return done == (long)length;
    memcpy(to, from, length);
    return true;
}

#endif
