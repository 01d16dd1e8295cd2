/*
 * ticks.h - the processor's own counter, which stamps records at half the price of clock_gettime() (8 ns against 19,
 * measured).  Only where the kernel itself keeps time by it is it steady and equal on all cores: struct board says so
 * (counts_ticks), and how it relates to CLOCK_MONOTONIC.  Async-signal-safe.
 */
#ifndef SNAG_TICKS_H
#define SNAG_TICKS_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#define TICKS_CLOCKSOURCE "tsc" /* its name in /sys/devices/system/clocksource/clocksource0/current_clocksource */
static inline uint64_t ticks_now(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
#define TICKS_CLOCKSOURCE "arch_sys_counter"
static inline uint64_t ticks_now(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
#define TICKS_CLOCKSOURCE "" /* no counter: records carry nanoseconds */
static inline uint64_t ticks_now(void)
{
    return 0;
}
#endif

/*
 * Reads the counter and CLOCK_MONOTONIC as of one moment.  A thread may lose its processor between the two, and be wrong by
 * milliseconds: of a few tries, the one that took least counts.
 */
static inline void ticks_and_ns(uint64_t *ticks, uint64_t *ns)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 4; i++) {
        struct timespec now;
        uint64_t before = ticks_now();
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t took = ticks_now() - before;
        if (i > 0 && took >= least)
            continue;
        least = took;
        *ticks = before + took / 2;
        *ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    }
}

#endif
