/* clock.h - time as this program counts it: CLOCK_MONOTONIC in nanoseconds, as the board and its events do. */
#ifndef SNAG_CLOCK_H
#define SNAG_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Returns CLOCK_MONOTONIC, ns. */
static inline uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Returns NS as libevent's timers take it; never 0 for a time above 0. */
static inline struct timeval clock_timeval(uint64_t ns)
{
    uint64_t us = ns / 1000 + (ns % 1000 != 0);
    struct timeval time = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    return time;
}

#endif
