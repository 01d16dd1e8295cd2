/*
 * real.h - the functions that our wrappers stand before: the next definition of each name, libc's as a rule.
 *
 * REAL(listen)(fd, 8) calls it.  All are looked up in the constructor; a wrapper that runs before that looks its own
 * up at once.  Safe in signal handlers and vfork children once the constructor has run.
 */
#ifndef SNAG_REAL_H
#define SNAG_REAL_H

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

/* Wrapped without being calls of a plan: they free descriptors, start programs, unload code, or set a filter. */
#define REAL_OTHERS(X) \
    X(close_range, int, (unsigned first, unsigned last, int flags)) \
    X(closefrom, void, (int first)) \
    X(fclose, int, (FILE * file)) \
    X(fcloseall, int, (void)) \
    X(pclose, int, (FILE * file)) \
    X(closedir, int, (DIR * folder)) \
    X(freopen, FILE *, (const char *path, const char *mode, FILE *file)) \
    X(freopen64, FILE *, (const char *path, const char *mode, FILE *file)) \
    X(dlclose, int, (void *library)) \
    X(prctl, int, (int option, ...)) \
    X(execve, int, (const char *path, char *const argv[], char *const envp[])) \
    X(execveat, int, (int folder, const char *path, char *const argv[], char *const envp[], int flags)) \
    X(execvpe, int, (const char *file, char *const argv[], char *const envp[])) \
    X(fexecve, int, (int fd, char *const argv[], char *const envp[])) \
    X(posix_spawn, int, \
      (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, \
       char *const argv[], char *const envp[])) \
    X(posix_spawnp, int, \
      (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, \
       char *const argv[], char *const envp[])) \
    X(__poll_chk, int, (struct pollfd * fds, nfds_t count, int timeout, size_t size)) \
    X(__ppoll_chk, int, \
      (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t size))

struct real {
#define CALL(name, type, parameters, number, class, actions) type(*name) parameters;
#include "../inject/engine/calls.def"
#define X(name, type, parameters) type(*name) parameters;
    REAL_OTHERS(X)
#undef X
};

extern struct real snag_real;

/* Looks up every function.  Idempotent. */
void real_resolve(void);

/* The real NAME. */
#define REAL(name) (__builtin_expect(snag_real.name == NULL, 0) ? (real_resolve(), snag_real.name) : snag_real.name)

#endif
