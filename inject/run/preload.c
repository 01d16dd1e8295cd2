/*
 * preload.c - the backend that puts libsnag.so into the server by LD_PRELOAD.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/backend.h"
#include "run/installed.h"
#include "run/say.h"
#include "run/spawn.h"

/* The loader splits LD_PRELOAD at colons and blanks, and knows no way to quote them. */
static int check_path(const char *path)
{
    if (strpbrk(path, ": \t\n") != NULL)
        say_error("%s: LD_PRELOAD can't name a path with a colon or a blank; move snag to another folder", path);
    else if (strlen(path) >= BOARD_PATH_MAX)
        say_error("%s: the path is too long (at most %d bytes)", path, BOARD_PATH_MAX - 1);
    else
        return 0;
    return -1;
}

static int preload_prepare(char shim[BOARD_PATH_MAX])
{
    char path[PATH_MAX];
    if (installed_find("libsnag.so", path) != 0 || check_path(path) != 0)
        return -1;
    memcpy(shim, path, strlen(path) + 1);
    return 0;
}

/*
 * gcc's AddressSanitizer ends a program in which it is not the first library.  It need not be: the shim calls on to what
 * comes behind it.  Fills OUT with what says so to a program that has it, unless the user has said something; else NULL.
 */
static int asan_variable(const char *program, char **out)
{
    static const char option[] = "verify_asan_link_order";
    const char *old = getenv("ASAN_OPTIONS");
    *out = NULL;
    if (!reach_needs(program, "libasan.so") || (old != NULL && strstr(old, option) != NULL))
        return 0;
    bool keep = old != NULL && old[0] != '\0';
    if (asprintf(out, "ASAN_OPTIONS=%s%s%s=0", keep ? old : "", keep ? ":" : "", option) >= 0)
        return 0;
    *out = NULL;
    return -1;
}

static int preload_variables(const char *program, const char *shim, const char *board, char *out[BACKEND_VARIABLES])
{
    char preload[2 * PATH_MAX];
    const char *old = getenv("LD_PRELOAD");
    bool keep = old != NULL && old[0] != '\0';
    int length = snprintf(preload, sizeof preload, "%s%s%s", shim, keep ? ":" : "", keep ? old : "");
    bool fits = length > 0 && (size_t)length < sizeof preload;
    out[0] = fits ? spawn_variable("LD_PRELOAD", preload) : NULL;
    out[1] = spawn_variable("SNAG_BOARD", board);
    int asan = asan_variable(program, &out[2]);
    if (!fits)
        errno = ENAMETOOLONG;
    return out[0] != NULL && out[1] != NULL && asan == 0 ? 0 : -1;
}

const struct backend backend_preload = {
    .name = "preload",
    .reach = reach_command,
    .prepare = preload_prepare,
    .variables = preload_variables,
};
