/*
 * loader.c - compiled without link-time optimization, which loses what .symver says.
 */
#include "loader.h"

/* The first version of glibc for this machine. */
#if defined(__x86_64__)
#define FIRST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define FIRST "GLIBC_2.17"
#else
#error "which version of glibc was the first for this machine?"
#endif

__asm__(".symver dlopen, dlopen@" FIRST);
__asm__(".symver dlsym, dlsym@" FIRST);

void *loader_open(const char *path, int flags)
{
    return dlopen(path, flags);
}

void *loader_find(void *library, const char *name)
{
    return dlsym(library, name);
}
