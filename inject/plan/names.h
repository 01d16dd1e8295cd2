/*
 * names.h - names of errnos, signals and address families, and the name that is nearest to a mistyped one.
 *
 * Names that are looked up may be in any case, as in strace.  No state; safe from any thread.
 */
#ifndef SNAG_NAMES_H
#define SNAG_NAMES_H

#include <stddef.h>

enum {
    ERRNO_MAX = 4095,     /* the largest number that the kernel can return as an errno */
    SIGNAL_MAX = 64,      /* the largest signal on Linux */
    SIGNAL_NAME_MAX = 16, /* bytes that signal_name() needs */
};

/* Returns the name of errno NUMBER ("EMFILE"), NULL if Linux has none for it.  Static storage. */
const char *errno_name(int number);

/* Returns the errno called NAME (LENGTH bytes), other names such as EWOULDBLOCK included; 0 if there is none. */
int errno_by_name(const char *name, size_t length);

/* Writes the name of signal NUMBER ("SIGUSR1", "SIGRTMIN+2", or the bare number) into OUT.  Returns OUT. */
const char *signal_name(int number, char out[SIGNAL_NAME_MAX]);

/* Returns the signal called NAME (LENGTH bytes), with or without SIG, SIGRTMIN+N and SIGRTMAX-N included; 0 if none. */
int signal_by_name(const char *name, size_t length);

/* Returns the plan's name of address family NUMBER ("inet6"), NULL if it has none.  Static storage. */
const char *family_name(int number);

/* Returns the address family called NAME (LENGTH bytes), with or without AF_; -1 if there is none. */
int family_by_name(const char *name, size_t length);

/* Returns the names by index, for a search: NULL after the last. */
const char *signal_by_index(size_t i);
const char *family_by_index(size_t i);

/* A search for the name that is nearest to WORD.  Start it, offer candidates, take the result. */
struct nearest {
    const char *word;
    size_t length;
    const char *best; /* NULL: nothing offered is near enough to be meant */
    size_t distance;  /* between WORD and BEST, in half slips */
};

/* Starts a search for the LENGTH bytes at WORD, which must live as long as the search. */
struct nearest nearest_to(const char *word, size_t length);

/* Offers CANDIDATE, which must outlive the search (NULL is let pass).  The first of equally near ones wins. */
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
