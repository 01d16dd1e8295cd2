/*
 * loader.h - dlopen() and dlsym() as every glibc has them, so that libsnag.so can be loaded where it is older than here.
 *
 * glibc 2.34 moved them from libdl.so.2 into libc.so.6, under a new version, to which a linker binds what says no version.
 * Under the first version they are in libdl.so.2 before that, and in libc.so.6 since.  So libsnag.so needs libdl.so.2,
 * which glibc still has, empty.
 */
#ifndef SNAG_LOADER_H
#define SNAG_LOADER_H

#include <dlfcn.h>

/* As dlopen(3) and dlsym(3). */
void *loader_open(const char *path, int flags);
void *loader_find(void *library, const char *name);

#endif
