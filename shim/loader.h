/*
 * loader.h - dlopen() and dlsym() as every glibc has them, so that libsnag.so can be loaded where it is older than here,
 * and with musl.
 *
 * glibc 2.34 moved them from libdl.so.2 into libc.so.6, under a new version, to which a linker binds what says no version.
 * Under the first version they are in libdl.so.2 before that, and in libc.so.6 since.  So libsnag.so needs libdl.so.2,
 * which glibc still has, empty.
 *
 * musl's loader takes itself for libc.so.6 and libdl.so.2, looks at no versions, and ends a program in which a library needs
 * a function that is nowhere.  So libsnag.so may need only what both have (tests/cli/library_test.sh looks).
 */
#ifndef SNAG_LOADER_H
#define SNAG_LOADER_H

#include <dlfcn.h>

/* As dlopen(3) and dlsym(3). */
void *loader_open(const char *path, int flags);
void *loader_find(void *library, const char *name);

/*
 * As pthread_atfork(3), for handlers that stay for good.  In glibc that is a function of the caller's own, which needs one
 * that musl has not.
 */
void loader_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void));

#endif
