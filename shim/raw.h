/*
 * raw.h - system calls of the shim's own: they never touch errno, are no cancellation points, and do not come back
 * through our wrappers.
 */
#ifndef SNAG_RAW_H
#define SNAG_RAW_H

#include <stdint.h>
#include <sys/syscall.h>

/* Makes system call NUMBER; returns what the kernel returned: -errno for an error.  (arch.S) */
long snag_raw(long number, long a, long b, long c, long d, long e, long f);

/* A pointer as an argument of snag_raw(). */
static inline long raw_pointer(const volatile void *pointer)
{
    return (long)(intptr_t)pointer;
}

static inline long raw2(long number, long a, long b)
{
    return snag_raw(number, a, b, 0, 0, 0, 0);
}

static inline long raw3(long number, long a, long b, long c)
{
    return snag_raw(number, a, b, c, 0, 0, 0);
}

#endif
