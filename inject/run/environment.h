/*
 * environment.h - what puts a server that snag does not start into a session: two variables, in the forms that people paste.
 */
#ifndef SNAG_ENVIRONMENT_H
#define SNAG_ENVIRONMENT_H

#include <stdio.h>

enum environment_format {
    FORMAT_ENV,     /* NAME=VALUE, a line each */
    FORMAT_SHELL,   /* export NAME=VALUE */
    FORMAT_SYSTEMD, /* a drop-in */
    FORMAT_DOCKER,  /* lines of a Dockerfile, and options for docker run */
    FORMAT_POD,     /* parts of a pod's YAML */
    FORMAT_COUNT
};

/* Returns "env", "shell", ...; NULL for FORMAT_COUNT. */
const char *environment_name(enum environment_format format);

/* Prints what gets a server into SESSION (as snag ctl calls it), whose shim and board are these files.  -1 with errno. */
int environment_print(enum environment_format format, const char *session, const char *shim, const char *board,
                      FILE *out);

#endif
