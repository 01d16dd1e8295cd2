#include "run/installed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/say.h"

/* Where libraries of this machine's kind are in distributions that keep several kinds. */
#if defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "x86_64-linux-gnu"
#endif

/* From the folder of our own program: as built, and as installed. */
static const char *const places[] = {"", "../lib/snag/", "../lib/" MULTIARCH "/snag/", "../lib64/snag/"};

static int own_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length <= 0)
        return -1;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    return 0;
}

int installed_find(const char *name, char path[PATH_MAX])
{
    char folder[PATH_MAX];
    if (own_folder(folder) != 0) {
        say_error("can't find out where snag is: %s", strerror(errno));
        return -1;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (snprintf(path, PATH_MAX, "%s/%s%s", folder, places[i], name) < PATH_MAX && access(path, R_OK) == 0)
            return 0;
    say_error("%s is neither beside snag (%s) nor in ../lib/snag, ../lib/" MULTIARCH
              "/snag or ../lib64/snag: build it with "
              "make, or install all of snag",
              name, folder);
    return -1;
}
