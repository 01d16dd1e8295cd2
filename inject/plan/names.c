#include "plan/names.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    ERRNO_NAMED_MAX = 256, /* libc names none above */
    NEAREST_LENGTH = 100,  /* a longer word is no slip of one of our names, or of a function's */
    SIGNAL_RT_FIRST = 34,  /* as programs see it: glibc keeps 32 and 33 to itself */
};

struct named {
    const char *name;
    int number;
};

static bool name_is(const char *candidate, const char *name, size_t length)
{
    return strlen(candidate) == length && strncasecmp(candidate, name, length) == 0;
}

const char *errno_name(int number)
{
    return number > 0 ? strerrorname_np(number) : NULL;
}

int errno_by_name(const char *name, size_t length)
{
    static const struct named others[] = {
        {"EWOULDBLOCK", EWOULDBLOCK}, {"EDEADLOCK", EDEADLOCK}, {"ENOTSUP", ENOTSUP}, {"EOPNOTSUPP", EOPNOTSUPP}};
    for (int number = 1; number < ERRNO_NAMED_MAX; number++) {
        const char *candidate = errno_name(number);
        if (candidate && name_is(candidate, name, length))
            return number;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (name_is(others[i].name, name, length))
            return others[i].number;
    return 0;
}

const char *signal_name(int number, char out[SIGNAL_NAME_MAX])
{
    const char *name = sigabbrev_np(number);
    if (name)
        snprintf(out, SIGNAL_NAME_MAX, "SIG%s", name);
    else if (number == SIGNAL_RT_FIRST)
        snprintf(out, SIGNAL_NAME_MAX, "SIGRTMIN");
    else if (number > SIGNAL_RT_FIRST && number <= SIGNAL_MAX)
        snprintf(out, SIGNAL_NAME_MAX, "SIGRTMIN+%d", number - SIGNAL_RT_FIRST);
    else
        snprintf(out, SIGNAL_NAME_MAX, "%d", number);
    return out;
}

/* RTMIN, RTMIN+N, RTMAX and RTMAX-N, without SIG. */
static int signal_realtime(const char *name, size_t length)
{
    int offset = 0, digits = 0;
    bool down = strncasecmp(name, "RTMAX", 5) == 0;
    if (length < 5 || (!down && strncasecmp(name, "RTMIN", 5) != 0))
        return 0;
    if (length > 5 && name[5] != (down ? '-' : '+'))
        return 0;
    for (size_t i = 6; i < length; i++, digits++) {
        if (!isdigit((unsigned char)name[i]) || offset > SIGNAL_MAX)
            return 0;
        offset = offset * 10 + (name[i] - '0');
    }
    if (offset > SIGNAL_MAX - SIGNAL_RT_FIRST || (length > 5 && digits == 0))
        return 0;
    return down ? SIGNAL_MAX - offset : SIGNAL_RT_FIRST + offset;
}

int signal_by_name(const char *name, size_t length)
{
    static const struct named others[] = {{"IOT", SIGIOT}, {"CLD", SIGCHLD}, {"POLL", SIGPOLL}};
    if (length > 3 && strncasecmp(name, "SIG", 3) == 0) {
        name += 3;
        length -= 3;
    }
    for (int number = 1; number < SIGNAL_RT_FIRST; number++) {
        const char *candidate = sigabbrev_np(number);
        if (candidate && name_is(candidate, name, length))
            return number;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (name_is(others[i].name, name, length))
            return others[i].number;
    return signal_realtime(name, length);
}

static const struct named families[] = {
    {"unspec", AF_UNSPEC},   {"inet", AF_INET},     {"inet6", AF_INET6}, {"unix", AF_UNIX},
    {"netlink", AF_NETLINK}, {"packet", AF_PACKET}, {"vsock", AF_VSOCK}, {"local", AF_LOCAL},
};

const char *family_name(int number)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i].number == number)
            return families[i].name;
    return NULL;
}

int family_by_name(const char *name, size_t length)
{
    if (length > 3 && strncasecmp(name, "AF_", 3) == 0) {
        name += 3;
        length -= 3;
    }
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (name_is(families[i].name, name, length))
            return families[i].number;
    return -1;
}

const char *family_by_index(size_t i)
{
    return i < sizeof families / sizeof families[0] ? families[i].name : NULL;
}

const char *signal_by_index(size_t i)
{
    /* The names with SIG in front, for libc has them without. */
    static const char *const names[] = {"SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",  "SIGTRAP", "SIGABRT",   "SIGBUS",
                                        "SIGFPE",  "SIGKILL",   "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE",   "SIGALRM",
                                        "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP",   "SIGTTIN",
                                        "SIGTTOU", "SIGURG",    "SIGXCPU", "SIGXFSZ", "SIGPROF", "SIGVTALRM", "SIGIO",
                                        "SIGPWR",  "SIGWINCH",  "SIGSYS",  "SIGRTMIN"};
    return i < sizeof names / sizeof names[0] ? names[i] : NULL;
}

/*
 * The number of slips between A and B: a character too many, too few, another one, or two that are swapped.  Case is no
 * slip.  The usual table by rows, of which the last three are kept.
 */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][NEAREST_LENGTH + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            size_t best = above[j - 1] + (x != y);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

/* What is further than a third of the word is no slip.  Counted in halves, for the tie-break below. */
static size_t distance_allowed(size_t length)
{
    return 2 * ((length + 1) / 3) + 1;
}

struct nearest nearest_to(const char *word, size_t length)
{
    return (struct nearest){.word = word, .length = length, .distance = distance_allowed(length) + 1};
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    size_t length = candidate ? strlen(candidate) : 0;
    if (length == 0 || length > NEAREST_LENGTH || nearest->length > NEAREST_LENGTH)
        return;
    /* Of two that are as many slips away, the one of the same length is nearer: accept5 is accept4, not accept. */
    size_t slips = 2 * distance(nearest->word, nearest->length, candidate, length) + (length != nearest->length);
    /* A word that was not written to its end is as near as the furthest slip that is let pass. */
    bool begun =
        nearest->length >= 3 && nearest->length < length && strncasecmp(nearest->word, candidate, nearest->length) == 0;
    if (begun && slips > distance_allowed(nearest->length))
        slips = distance_allowed(nearest->length);
    if (slips < nearest->distance) {
        nearest->distance = slips;
        nearest->best = candidate;
    }
}
