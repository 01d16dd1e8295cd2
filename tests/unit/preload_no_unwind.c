/* A system without libunwind: dlopen() does not find it. */
#include <dlfcn.h>
#include <string.h>

void *dlopen(const char *name, int mode)
{
    static void *(*real)(const char *, int);
    void *function = dlsym(RTLD_NEXT, "dlopen");
    memcpy(&real, &function, sizeof function);
    return name && strstr(name, "libunwind") ? NULL : real(name, mode);
}
