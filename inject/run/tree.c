#include "run/tree.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUPS_MAX = 8 }; /* a --ready command is over before the next one starts, so the oldest can be forgotten */

static pid_t excepted[GROUPS_MAX];
static size_t excepted_next;

int tree_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void tree_except(pid_t keeper)
{
    excepted[excepted_next++ % GROUPS_MAX] = keeper;
}

void tree_forget(pid_t keeper)
{
    for (size_t i = 0; i < GROUPS_MAX; i++)
        if (excepted[i] == keeper)
            excepted[i] = 0;
}

static bool is_excepted(pid_t keeper)
{
    for (size_t i = 0; i < GROUPS_MAX; i++)
        if (excepted[i] != 0 && excepted[i] == keeper)
            return true;
    return false;
}

/* Whether PROC belongs, given what is known of the others: it is a child of snag, or a child of one that belongs. */
static bool belongs(const struct proc *proc, bool everybody, const struct proc *all, const bool *members, size_t count)
{
    if (proc->ppid == getpid())
        return everybody || !(is_excepted(proc->pgid) || is_excepted(proc->pid));
    for (size_t i = 0; i < count; i++)
        if (members[i] && all[i].pid == proc->ppid)
            return true;
    return false;
}

/* Generation by generation; each round adds at least one process, or is the last. */
static void mark_members(bool everybody, const struct proc *all, bool *members, size_t count)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++)
            if (!members[i] && belongs(&all[i], everybody, all, members, count))
                members[i] = more = true;
    }
}

ssize_t tree_list(bool everybody, struct proc **out)
{
    size_t kept = 0;
    ssize_t count = proc_list(out);
    if (count < 0)
        return -1;
    bool *members = calloc((size_t)count + 1, sizeof *members);
    if (members == NULL) {
        free(*out);
        return -1;
    }
    mark_members(everybody, *out, members, (size_t)count);
    for (size_t i = 0; i < (size_t)count; i++)
        if (members[i] && (*out)[i].state != 'Z' && (*out)[i].state != 'X')
            (*out)[kept++] = (*out)[i];
    free(members);
    return (ssize_t)kept;
}

bool tree_lives(const struct tree *tree)
{
    struct proc *list;
    if (tree->first != 0 && !tree->first_ended)
        return true;
    /* A process that forks and ends while /proc is being read can slip through once. */
    for (int look = 0; look < 2; look++) {
        ssize_t count = tree_list(false, &list);
        if (count >= 0)
            free(list);
        if (count != 0)
            return true;
    }
    return false;
}

void tree_reaped(struct tree *tree, pid_t pid, int status, bool own_session)
{
    if (pid == tree->first) {
        tree->first_ended = true;
        tree->first_status = status;
        return;
    }
    if ((tree->first_ended || own_session) && !tree->first_told && status != 0)
        tree->orphan_status = status;
}

int tree_status(const struct tree *tree)
{
    return tree->first_status != 0 ? tree->first_status : tree->orphan_status;
}

void tree_stop(struct tree *tree, int signal)
{
    struct proc *list;
    ssize_t count = tree_list(false, &list);
    if (tree->first != 0)
        kill(-tree->first, signal); /* the group's number is taken as long as a member lives; ESRCH: none does */
    for (ssize_t i = 0; i < count; i++) {
        if (list[i].pid == tree->first && signal != SIGCONT)
            tree->first_told = true;
        if (list[i].ppid == getpid() && list[i].pgid != tree->first)
            proc_signal(&list[i], signal);
    }
    if (count >= 0)
        free(list);
}

size_t tree_kill(const struct tree *tree)
{
    struct proc *list;
    ssize_t count = tree_list(true, &list);
    for (ssize_t i = 0; i < count; i++)
        if (!is_excepted(list[i].pid)) /* one that is killed would leave its orphans to us */
            proc_signal(&list[i], SIGKILL);
    if (count < 0)
        return tree->first != 0 && !tree->first_ended ? 1 : 0;
    free(list);
    return (size_t)count;
}
