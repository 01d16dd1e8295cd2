/*
 * reach.h - whether the shim can get into a program, seen before it starts: what the dynamic loader would not preload
 * into (static, Go, another libc, another machine, setuid) and commands that hand the work to somebody else.
 *
 * It is a look ahead, for a clear message.  The proof is attachment, which attach.c watches.
 */
#ifndef SNAG_REACH_H
#define SNAG_REACH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { REACH_WHY_MAX = 2 * PATH_MAX };

/* What keeps the shim out of a program. */
struct reach {
    int status;              /* 0: nothing; 125: it can't be reached; 126: it can't be executed; 127: it is not found */
    bool by_file;            /* it is the program file that speaks against it, and that for this way in alone */
    bool siteless;           /* it can be reached, but this way in knows no call sites there */
    char path[PATH_MAX];     /* the command, found in PATH */
    char program[PATH_MAX];  /* what is executed: the command, or if it is a script, its interpreter */
    char why[REACH_WHY_MAX]; /* a sentence without a full stop; "" if status is 0 and `siteless` is not set */
};

/* Looks at COMMAND as execvp(3) would run it, through up to four levels of scripts (#!). */
void reach_command(const char *command, struct reach *out);

/* The same for a way in that needs no loader: from outside of the process. */
void reach_outside(const char *command, struct reach *out);

/* What executing PATH would gain (another user, group, capabilities), in a few words; NULL: nothing. */
const char *reach_gain(const char *path);

/* Whether what is under a seccomp filter of ours may gain that: CAP_SYS_ADMIN installs one without no_new_privs. */
bool reach_may_gain(void);

/*
 * Looks at the program file PATH alone, which must be ELF.  Returns NULL if the shim can get into it, else why not, in a
 * few words.  A file that can't be read or is no ELF gives NULL too.
 */
const char *reach_file(const char *path);

/* Whether the program file PATH is linked with a shared library whose name starts with LIBRARY (at most 255 bytes). */
bool reach_needs(const char *path, const char *library);

#endif
