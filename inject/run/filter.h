/*
 * filter.h - the seccomp filter of a server: the few system calls that wait for a word of ours, all others at full speed.
 *
 * libseccomp writes the program; it is installed by the system call itself, for libseccomp 2.5 has no way to hand over its
 * notifications before exec.
 */
#ifndef SNAG_FILTER_H
#define SNAG_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/board.h"

struct filter {
    struct sock_fprog program;
    bool gains; /* no_new_privs must not be set: we may do without it, and setuid programs stay what they are */
    bool trapped[CALL_COUNT];
};

/*
 * Builds the filter for what BOARD wants to know of (rules, records), for exec, and for what belongs to no 64-bit program.
 * To be freed with filter_free().  Returns -1 with errno.
 */
int filter_build(struct filter *out, struct board *board);
void filter_free(struct filter *filter);

/* Whether FILTER lets calls pass that RULE, one that comes later, must know of; says so in WORDS, without a newline. */
bool filter_lacks(const struct filter *filter, const struct rule *rule, FILE *words);

/* In the process that is to become the server: installs it.  Returns the descriptor of its notifications, -1 with errno. */
int filter_install(const struct filter *filter);

/* Says in words what keeps this kernel, or this place, from any such filter; NULL if nothing does. */
const char *filter_fault(void);

/* Says in words why filter_install() failed with ERROR. */
const char *filter_install_fault(int error);

#endif
