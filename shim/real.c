#include "real.h"

#include <string.h>

#include "loader.h"

struct real snag_real;

/* Where syscall() goes on to for numbers that are not ours; NULL: arch.S does the call by itself. */
__attribute__((visibility("hidden"))) void *snag_syscall_next;

/* Copies dlsym's void * into a function pointer, which ISO C has no cast for. */
static void resolve(void *slot, const char *name)
{
    void *function = loader_find(RTLD_NEXT, name);
    if (function)
        memcpy(slot, &function, sizeof function);
}

void real_resolve(void)
{
#define CALL(name, type, parameters, number, class, actions) resolve(&snag_real.name, #name);
#include "../inject/engine/calls.def"
#define X(name, type, parameters) resolve(&snag_real.name, #name);
    REAL_OTHERS(X)
#undef X
    resolve(&snag_syscall_next, "syscall");
}
