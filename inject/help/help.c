#include "help/help.h"

#include <string.h>

/* Where the Makefile has put the texts. */
#ifndef HELP_TEXTS
#define HELP_TEXTS "build/help/"
#endif

/* The Makefile says of which page, and of which section of it, each is. */
#define TOPICS(X) \
    X(plan, "the rules: calls, actions, triggers, filters (snag-plan(5))") \
    X(verdicts, "the words for what a server did") \
    X(status, "exit statuses") \
    X(environment, "environment variables") \
    X(files, "what an exploration leaves, and the lines of a trace") \
    X(examples, "commands for common questions") \
    X(manual, "all of snag(1)") \
    X(shim, "how the library behaves in the server's process (libsnag(7))")

#define BYTES(name, about) \
    __asm__(".pushsection .rodata\n" \
            "help_" #name ": .incbin \"" HELP_TEXTS #name ".txt\"\n" \
            ".byte 0\n" \
            ".popsection"); \
    extern const char help_##name[] __attribute__((visibility("hidden")));
TOPICS(BYTES)

static const struct topic {
    const char *name, *about, *text;
} topics[] = {
#define ROW(name, about) {#name, about, help_##name},
    TOPICS(ROW)};

enum { COUNT = sizeof topics / sizeof topics[0] };

const char *help_text(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(topics[i].name, name) == 0)
            return topics[i].text;
    return NULL;
}

const char *help_topic(size_t i)
{
    return i < COUNT ? topics[i].name : NULL;
}

void help_list(FILE *out)
{
    for (size_t i = 0; i < COUNT; i++)
        fprintf(out, "  snag help %-11s  %s\n", topics[i].name, topics[i].about);
}
