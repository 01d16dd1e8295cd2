/*
 * Faults for the listener's tests: its files are linked with --wrap for the calls below, so that each of them can be made
 * to fail on purpose.  (The same paths are reached from outside, by snag itself, in tests/servers/listener_test.sh.)
 */
#ifndef SNAG_TESTS_LISTENER_FAULTS_H
#define SNAG_TESTS_LISTENER_FAULTS_H

#include <stdbool.h>

#define FAULT_CALLS(CALL) \
    CALL(SOCKET) \
    CALL(SETSOCKOPT) \
    CALL(BIND) \
    CALL(LISTEN) \
    CALL(ACCEPT4) \
    CALL(ACCEPT) \
    CALL(FCNTL) \
    CALL(EVENTFD) \
    CALL(CALLOC) \
    CALL(EVENT_ADD) \
    CALL(EVENT_ASSIGN)

enum fault_call {
#define CALL(name) FAULT_##name,
    FAULT_CALLS(CALL)
#undef CALL
        FAULT_CALL_COUNT
};

/* Calls number FIRST to LAST (from 1; 0: without end) of CALL fail with ERROR, without being made.  Counting starts anew. */
void fault_set(enum fault_call call, int error, unsigned first, unsigned last);
/* accept and accept4 really accept, and report an address of no length. */
void fault_set_zero_length(unsigned first, unsigned last);
void fault_clear(void);
unsigned fault_calls(enum fault_call call); /* since the last fault_set or fault_clear */

/* The sweep: the NTH call of any kind fails, once, with ERROR. */
void fault_sweep(unsigned nth, int error);
bool fault_fired(void);

/* This thread's calls are the test's own: they neither count nor fail. */
extern _Thread_local bool fault_ignored;

/* Called by a thread that is about to take the listener's lock, before it does; NULL: none. */
extern void (*fault_before_lock)(void);

#endif
