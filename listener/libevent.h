/*
 * What we use of libevent.  The shared library is linked without libevent and takes the functions from the program that it
 * is loaded into: Debian has each of them twice (libevent-2.1.so.7 and libevent_core-2.1.so.7), and a second copy in the
 * process would not know the first one's event bases.  They are weak there, so that a program without libevent can be
 * started too when it inherits our LD_PRELOAD.
 */
#ifndef LISTENER_LIBEVENT_H
#define LISTENER_LIBEVENT_H

#include <event2/event.h>

#if defined(__PIC__) && !defined(__PIE__)
#pragma weak event_add
#pragma weak event_assign
#pragma weak event_debug_unassign
#pragma weak event_del_noblock
#pragma weak event_finalize
#define LIBEVENT_IS_HERE (event_assign != NULL)
#else
#define LIBEVENT_IS_HERE true
#endif

/* Not in a public header, but exported by every libevent from 1.4 on: its log has no other entrance. */
void event_warnx(const char *format, ...) __attribute__((weak, format(printf, 1, 2)));

#endif
