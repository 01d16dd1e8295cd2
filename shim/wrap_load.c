/* wrap_load.c - dlclose: what is mapped next may get the same addresses, and is another place in another file. */
#include <dlfcn.h>

#include "hook.h"
#include "real.h"
#include "site.h"

WRAPPER int dlclose(void *library)
{
    int ret = REAL(dlclose)(library);
    site_forget_unloaded();
    return ret;
}
