/*
 * ticks.h - the processor's own counter, which stamps records at half the price of clock_gettime() (8 ns against 19,
 * measured).  Only where the kernel itself keeps time by it is it steady and equal on all cores: struct board says so
 * (counts_ticks), and how it relates to CLOCK_MONOTONIC.  Async-signal-safe.
 */
#ifndef SNAG_TICKS_H
#define SNAG_TICKS_H

#include <stdint.h>

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

#endif
