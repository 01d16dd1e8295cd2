/*
 * tree.h - the processes of the server: the one that snag started, what that one started, and orphans of these, which
 * the kernel hands to snag because it is their subreaper.  Of a client and a --ready command the keeper (keeper.h) is a
 * child of snag as well, and the subreaper of what they start, so that all of these are below it for good.
 */
#ifndef SNAG_TREE_H
#define SNAG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "run/proc.h"

struct tree {
    pid_t first; /* the server's first process, and its group; 0: not started */
    bool first_ended;
    bool first_told;  /* to end, while it lived: it answers for all that ends from then on */
    int first_status; /* as of waitpid(2) */
    /*
     * Of the last daemon that did not end well: an orphan that outlived the first process or has a session of its own
     * (setsid(2)).  How a helper ended while the first process lived is that one's affair.
     */
    int orphan_status;
};

/* Makes this process the subreaper of all that it starts.  Returns -1 with errno. */
int tree_adopt(void);

/*
 * Lists the living processes of the server into *OUT, to be freed: how many, or -1 with errno.  With EVERYBODY, those of
 * clients and --ready commands as well.
 */
ssize_t tree_list(bool everybody, struct proc **out);

/* Tells the tree that neither KEEPER, nor what is below it or of its process group, is the server's. */
void tree_except(pid_t keeper);

/* ... that KEEPER has ended. */
void tree_forget(pid_t keeper);

/* Whether any process of the server lives.  What /proc doesn't tell counts as living. */
bool tree_lives(const struct tree *tree);

/* Notes that waitpid(2) returned PID with STATUS: the first process or an orphan, with a session of its own or not. */
void tree_reaped(struct tree *tree, pid_t pid, int status, bool own_session);

/* The status that the server as a whole ended with. */
int tree_status(const struct tree *tree);

/* Sends SIGNAL to the first process's group and to orphans outside it: those that nobody in the tree would stop. */
void tree_stop(struct tree *tree, int signal);

/*
 * Sends SIGKILL to every process that came from us, clients included; keepers end by themselves then.  Returns how many
 * lived.
 */
size_t tree_kill(const struct tree *tree);

#endif
