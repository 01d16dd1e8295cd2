/*
 * loader.c - compiled without link-time optimization, which loses what .symver says.
 */
#include "loader.h"

#include <string.h>

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

void loader_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    int (*at_fork)(void (*)(void), void (*)(void), void (*)(void), void *library);
    void *function = loader_find(RTLD_DEFAULT, "__register_atfork");
    if (!function) /* musl's, which does not look at a fourth argument */
        function = loader_find(RTLD_DEFAULT, "pthread_atfork");
    if (!function)
        return;
    memcpy(&at_fork, &function, sizeof function);
    at_fork(before, parent, child, NULL);
}
