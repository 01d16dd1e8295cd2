/*
 * site.h - where a call was made: the call and its stack, as an entry on the board.
 *
 * A stack is walked once (unwind.h), and kept as a trail.  A later call that comes the same way is known by comparing:
 * a load or two a frame, without a lock, in any context.  So what follows concerns new stacks alone.  They are walked by
 * one thread at a time, with its signals blocked; and not at all where that could do harm: in a vfork child, which runs
 * in its parent's memory; where there is little stack left; in a child that was forked, by something else than fork(),
 * while another thread was walking.  Such a call has no site, and is counted (board.unwalked).
 */
#ifndef SNAG_SHIM_SITE_H
#define SNAG_SHIM_SITE_H

#include "../inject/engine/call.h"
#include "../inject/engine/stack.h"

/* Gets ready, in a session with call sites: loads libunwind, tells snag of the files that are mapped, waits for it to look
 * into them if a rule asks for functions.  In the constructor. */
void site_begin(void);

/*
 * Returns the call site of CALL, which is being made by the caller of a wrapper with the frame address FRAME; NULL if there
 * is none.  errno is kept.
 */
struct stack *site_of(enum call call, const void *frame);

/* The index of STACK on the board. */
uint32_t site_index(const struct stack *stack);

/* A dlclose() has returned: forgets stacks that led through what it unloaded. */
void site_forget_unloaded(void);

#endif
