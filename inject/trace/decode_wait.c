/*
 * decode_wait.c - the poll, select and epoll families.
 */
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>

#include "plan/names.h"
#include "trace/constants.h"
#include "trace/decode.h"

enum { SET_MAX = 256 }; /* descriptors of a set that a record holds; shim/show.c */

static void add_timed_out(struct decoded *out, const struct seen *seen)
{
    if (seen->event->ret == 0)
        words_add(&out->result, " (Timeout)");
}

/* Argument I is a struct timespec, or with UNIT "tv_usec" a struct timeval. */
static void decode_time(struct decoded *out, struct seen *seen, size_t i, const char *unit)
{
    struct timespec time;
    const void *bytes = seen->given.words[i] != 0 ? seen_before(seen, sizeof time) : NULL;
    if (bytes == NULL) {
        decode_pointer(out, seen, i);
        return;
    }
    memcpy(&time, bytes, sizeof time);
    words_next(&out->arguments);
    words_add(&out->arguments, "{tv_sec=%jd, %s=%jd}", (intmax_t)time.tv_sec, unit, (intmax_t)time.tv_nsec);
}

/* Argument I is a signal mask.  One that holds most signals is written by those that it lacks. */
static void decode_mask(struct decoded *out, struct seen *seen, size_t i)
{
    uint64_t mask;
    char name[SIGNAL_NAME_MAX];
    const char *between = "";
    const void *bytes = seen->given.words[i] != 0 ? seen_before(seen, sizeof mask) : NULL;
    if (bytes == NULL) {
        decode_pointer(out, seen, i);
        return;
    }
    memcpy(&mask, bytes, sizeof mask);
    bool most = __builtin_popcountll(mask) > SIGNAL_MAX / 2;
    words_next(&out->arguments);
    words_add(&out->arguments, most ? "~[" : "[");
    for (int signal = 1; signal <= SIGNAL_MAX; signal++) {
        if (((mask >> (signal - 1)) & 1) == most)
            continue;
        const char *text = signal_name(signal, name);
        words_add(&out->arguments, "%s%s", between, strncmp(text, "SIG", 3) == 0 ? text + 3 : text);
        between = " ";
    }
    words_add(&out->arguments, "]");
}

/* --- poll */

static void add_asked(struct words *words, const unsigned char *bytes, size_t known, uint64_t count)
{
    struct pollfd entry;
    words_add(words, "[");
    for (size_t i = 0; i < known; i++) {
        memcpy(&entry, bytes + i * sizeof entry, sizeof entry);
        words_add(words, "%s{fd=%d", i > 0 ? ", " : "", entry.fd);
        if (entry.fd >= 0) {
            words_add(words, ", events=");
            words_flags(words, (uint16_t)entry.events, constants_poll, "POLL???");
        }
        words_add(words, "}");
    }
    words_add(words, "%s]", known < count ? ", ..." : "");
}

static void add_answered(struct words *words, const unsigned char *bytes, size_t known)
{
    struct pollfd entry;
    const char *between = "";
    words_add(words, " ([");
    for (size_t i = 0; i < known; i++) {
        memcpy(&entry, bytes + i * sizeof entry, sizeof entry);
        if (entry.revents == 0 || entry.fd < 0)
            continue;
        words_add(words, "%s{fd=%d, revents=", between, entry.fd);
        words_flags(words, (uint16_t)entry.revents, constants_poll, "POLL???");
        words_add(words, "}");
        between = ", ";
    }
    words_add(words, "])");
}

static void decode_entries(struct decoded *out, struct seen *seen)
{
    uint64_t count = (uint64_t)seen->given.words[1];
    size_t known = seen->after_left / sizeof(struct pollfd);
    const unsigned char *bytes = seen_after(seen, known * sizeof(struct pollfd));
    if (known > 0) {
        words_next(&out->arguments);
        add_asked(&out->arguments, bytes, known, count);
    } else {
        decode_pointer(out, seen, 0);
    }
    decode_int(out, seen, 1);
    if (known > 0 && seen->event->ret > 0)
        add_answered(&out->result, bytes, known);
    add_timed_out(out, seen);
}

void decode_poll(struct decoded *out, struct seen *seen)
{
    decode_entries(out, seen);
    decode_int(out, seen, 2);
}

/* The mask's size is an argument of the system call, which strace shows. */
static void add_mask_size(struct decoded *out)
{
    words_next(&out->arguments);
    words_add(&out->arguments, "8");
}

void decode_ppoll(struct decoded *out, struct seen *seen)
{
    decode_entries(out, seen);
    decode_time(out, seen, 2, "tv_nsec");
    decode_mask(out, seen, 3);
    add_mask_size(out);
}

/* --- select */

/* Adds the members of a set, which has bits for SIZE bytes. */
static void add_set(struct words *words, const unsigned char *bytes, size_t size, int64_t count)
{
    const char *between = "";
    words_add(words, "[");
    for (size_t fd = 0; fd < size * 8 && (int64_t)fd < count; fd++)
        if (bytes[fd / 8] & (1u << fd % 8)) {
            words_add(words, "%s%zu", between, fd);
            between = " ";
        }
    words_add(words, "%s]", count > SET_MAX ? " ..." : "");
}

static size_t set_size(int64_t count)
{
    int64_t most = count < SET_MAX ? count : SET_MAX;
    return most > 0 ? (size_t)((most + 63) / 64 * 8) : 0;
}

static bool is_empty(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void decode_sets_after(struct decoded *out, struct seen *seen, size_t size)
{
    static const char *const names[] = {"in", "out", "except"};
    const char *between = " (";
    for (size_t i = 0; i < 3; i++) {
        const void *bytes = seen->given.words[1 + i] != 0 && size > 0 ? seen_after(seen, size) : NULL;
        if (bytes == NULL || is_empty(bytes, size))
            continue;
        words_add(&out->result, "%s%s ", between, names[i]);
        add_set(&out->result, bytes, size, seen->given.words[0]);
        between = ", ";
    }
    words_add(&out->result, "%s", between[0] == ',' ? ")" : "");
}

static void decode_sets(struct decoded *out, struct seen *seen)
{
    size_t size = set_size(seen->given.words[0]);
    decode_int(out, seen, 0);
    for (size_t i = 1; i <= 3; i++) {
        const void *bytes = seen->given.words[i] != 0 ? seen_before(seen, size) : NULL;
        if (bytes == NULL) {
            decode_pointer(out, seen, i);
            continue;
        }
        words_next(&out->arguments);
        add_set(&out->arguments, bytes, size, seen->given.words[0]);
    }
    if (seen->event->ret > 0)
        decode_sets_after(out, seen, size);
    add_timed_out(out, seen);
}

void decode_select(struct decoded *out, struct seen *seen)
{
    decode_sets(out, seen);
    decode_time(out, seen, 4, "tv_usec");
}

void decode_pselect(struct decoded *out, struct seen *seen)
{
    decode_sets(out, seen);
    decode_time(out, seen, 4, "tv_nsec");
    decode_mask(out, seen, 5);
}

/* --- epoll */

void decode_epoll_create(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
}

void decode_epoll_create1(struct decoded *out, struct seen *seen)
{
    words_next(&out->arguments);
    words_flags(&out->arguments, (uint64_t)seen->given.words[0], constants_epoll_flags, "EPOLL_???");
}

static void add_event(struct words *words, const void *bytes)
{
    struct epoll_event event;
    memcpy(&event, bytes, sizeof event);
    words_add(words, "{events=");
    words_flags(words, event.events, constants_epoll, "EPOLL???");
    words_add(words, ", data={u32=%" PRIu32 ", u64=%" PRIu64 "}}", event.data.u32, event.data.u64);
}

void decode_epoll_ctl(struct decoded *out, struct seen *seen)
{
    const void *event = seen_before(seen, sizeof(struct epoll_event));
    decode_int(out, seen, 0);
    words_next(&out->arguments);
    words_constant(&out->arguments, seen->given.words[1], constants_epoll_op, "EPOLL_CTL_???");
    decode_int(out, seen, 2);
    if (event == NULL) {
        decode_pointer(out, seen, 3);
        return;
    }
    words_next(&out->arguments);
    add_event(&out->arguments, event);
}

static void decode_events(struct decoded *out, struct seen *seen)
{
    size_t known = seen->after_left / sizeof(struct epoll_event);
    const unsigned char *bytes = seen_after(seen, known * sizeof(struct epoll_event));
    int32_t ret = seen->event->ret;
    decode_int(out, seen, 0);
    if (ret < 0 || (ret > 0 && known == 0)) {
        decode_pointer(out, seen, 1);
    } else {
        words_next(&out->arguments);
        words_add(&out->arguments, "[");
        for (size_t i = 0; i < known; i++) {
            words_add(&out->arguments, "%s", i > 0 ? ", " : "");
            add_event(&out->arguments, bytes + i * sizeof(struct epoll_event));
        }
        words_add(&out->arguments, "%s]", known < (size_t)ret ? ", ..." : "");
    }
    decode_int(out, seen, 2);
}

void decode_epoll_wait(struct decoded *out, struct seen *seen)
{
    decode_events(out, seen);
    decode_int(out, seen, 3);
}

void decode_epoll_pwait(struct decoded *out, struct seen *seen)
{
    decode_epoll_wait(out, seen);
    decode_mask(out, seen, 4);
    add_mask_size(out);
}

void decode_epoll_pwait2(struct decoded *out, struct seen *seen)
{
    decode_events(out, seen);
    decode_time(out, seen, 3, "tv_nsec");
    decode_mask(out, seen, 4);
    add_mask_size(out);
}
