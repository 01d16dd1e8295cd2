/*
 * registers.h - the registers of a thread that waits in a notification.  /proc tells its stack pointer; the others only
 * ptrace does.
 *
 * The thread is stopped without a signal (PTRACE_SEIZE, PTRACE_INTERRUPT), so neither it nor its parent sees anything of
 * it.  But its wait ends: the call is made anew when it goes on, and is notified anew, under another id.
 *
 * Snag collects its children meanwhile, in another thread, and the kernel gives it the stop of a traced thread as well: so
 * nothing here depends on waiting for that, and steps.c passes over it.
 */
#ifndef SNAG_REGISTERS_H
#define SNAG_REGISTERS_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/user.h>

/* Where the stack ends, and where the thread is; only a machine that stackwalk.c knows is asked. */
#if defined(__x86_64__)
#define REGISTERS_SP(registers) ((registers)->rsp)
#define REGISTERS_PC(registers) ((registers)->rip)
#else
#define REGISTERS_SP(registers) ((registers)->sp)
#define REGISTERS_PC(registers) ((registers)->pc)
#endif

/*
 * Stops thread TID, and reads its registers.  -1 with errno: ESRCH, it is gone; EPERM, it may not be traced.  To be let go
 * with registers_release() by the same thread of snag.
 */
int registers_hold(pid_t tid, struct user_regs_struct *out);
void registers_release(pid_t tid);

/* Says in words why TID may not be traced. */
void registers_fault(pid_t tid, char *out, size_t size);

#endif
