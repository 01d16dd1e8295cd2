/*
 * command.h - what a session does when `snag ctl` asks for it: looks at its rules, changes them, tells what it has seen.
 */
#ifndef SNAG_COMMAND_H
#define SNAG_COMMAND_H

#include <jansson.h>

struct session;

/* Opens the control socket of SESSION.  Returns -1 with errno. */
int command_open(struct session *session);

/* Answers REQUEST (control/frame.h); CONTEXT is the session.  NULL without memory. */
json_t *command_answer(void *context, const json_t *request);

#endif
