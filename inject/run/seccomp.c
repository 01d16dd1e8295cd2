/*
 * seccomp.c - the backend that works from outside: a seccomp filter makes the calls that somebody wants to know of wait for
 * our answer.  It reaches what no library can be preloaded into (static programs, Go), and whatever the server starts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/backend.h"
#include "run/clock.h"
#include "run/filter.h"
#include "run/say.h"
#include "run/spawn.h"
#include "run/supervisor.h"
#include "run/tree.h"

struct outside {
    struct filter filter;
    struct supervisor *supervisor;
};

static int seccomp_prepare(char shim[BOARD_PATH_MAX])
{
    const char *fault = filter_fault();
    shim[0] = '\0';
    if (fault == NULL)
        return 0;
    say_error("the seccomp backend can't work here: %s", fault);
    return -1;
}

static int seccomp_variables(const char *program, const char *shim, const char *board, char *out[BACKEND_VARIABLES])
{
    (void)program;
    (void)shim;
    for (size_t i = 0; i < BACKEND_VARIABLES; i++)
        out[i] = NULL;
    out[0] = spawn_variable("SNAG_BOARD", board); /* nobody maps it: by this the next session knows what ours left */
    return out[0] != NULL ? 0 : -1;
}

static bool seccomp_lacks(const struct outside *outside, const struct rule *rule, FILE *words)
{
    return filter_lacks(&outside->filter, rule, words);
}

/* A result that the kernel gives is past us when it exists. */
static const char *seccomp_refuses(const struct rule *rule)
{
    bool made_up = rule->actions & (ACT_FAIL | ACT_RETURN);
    for (size_t i = 0; i < CALL_WORDS; i++)
        if (rule->overrules[i] != 0)
            return "the call does its work all the same and then fails, and from outside its result can't be changed";
    for (enum call call = 0; call < CALL_COUNT && (rule->actions & ACT_DELAY_EXIT) && !made_up; call++)
        if (rule_names(rule, call) && call != CALL_listen && call_info(call)->class != OF_ACCEPT)
            return "delay_exit= on a call that the kernel makes: from outside its end can't be seen";
    return NULL;
}

static int enter(void *context)
{
    struct outside *outside = context;
    return filter_install(&outside->filter);
}

static int admit(void *context, int fd)
{
    struct outside *outside = context;
    return supervisor_start(outside->supervisor, fd);
}

static void seccomp_close(struct outside *outside)
{
    if (outside == NULL)
        return;
    supervisor_free(outside->supervisor);
    filter_free(&outside->filter);
    free(outside);
}

static struct outside *seccomp_open(struct board *board, struct spawn_gate *gate)
{
    struct outside *outside = calloc(1, sizeof *outside);
    if (outside != NULL && filter_build(&outside->filter, board) == 0)
        outside->supervisor = supervisor_new(board);
    if (outside == NULL || outside->supervisor == NULL) {
        say_error("can't set up the seccomp backend: %s", strerror(errno));
        seccomp_close(outside);
        return NULL;
    }
    *gate = (struct spawn_gate){.enter = enter, .admit = admit, .context = outside};
    return outside;
}

static void seccomp_look(struct outside *outside)
{
    struct proc *list;
    if (!supervisor_look_is_due(outside->supervisor, clock_ns()))
        return;
    ssize_t count = tree_list(false, &list);
    if (count < 0)
        return;
    supervisor_look(outside->supervisor, list, (size_t)count);
    free(list);
}

static const char *seccomp_siteless(struct outside *outside)
{
    return supervisor_siteless(outside->supervisor);
}

const struct backend backend_seccomp = {
    .name = "seccomp",
    .reach = reach_outside,
    .prepare = seccomp_prepare,
    .variables = seccomp_variables,
    .refuses = seccomp_refuses,
    .lacks = seccomp_lacks,
    .open = seccomp_open,
    .look = seccomp_look,
    .siteless = seccomp_siteless,
    .gate_fault = filter_install_fault,
    .close = seccomp_close,
};
