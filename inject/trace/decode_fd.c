/*
 * decode_fd.c - fcntl, ioctl, close, the dup family, pipe, pipe2, eventfd.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/ioctl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "trace/constants.h"
#include "trace/decode.h"

void decode_close(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
}

static void add_open_flags(struct words *words, int64_t flags)
{
    words_constant(words, flags & O_ACCMODE, constants_access, "O_???");
    if (flags & ~O_ACCMODE) {
        words_add(words, "|");
        words_flags(words, (uint64_t)(flags & ~O_ACCMODE), constants_open, "O_???");
    }
}

static void decode_lock(struct decoded *out, struct seen *seen)
{
    struct flock lock;
    struct words *words = &out->arguments;
    const void *bytes = seen_after(seen, sizeof lock);
    if (bytes == NULL)
        bytes = seen_before(seen, sizeof lock);
    if (bytes == NULL) {
        decode_pointer(out, seen, 2);
        return;
    }
    memcpy(&lock, bytes, sizeof lock);
    words_next(words);
    words_add(words, "{l_type=");
    words_constant(words, lock.l_type, constants_lock, "F_???");
    words_add(words, ", l_whence=");
    words_constant(words, lock.l_whence, constants_whence, "SEEK_???");
    words_add(words, ", l_start=%jd, l_len=%jd}", (intmax_t)lock.l_start, (intmax_t)lock.l_len);
}

static void decode_argument(struct decoded *out, struct seen *seen)
{
    struct words *words = &out->arguments;
    int64_t argument = seen->given.words[2];
    switch (seen->given.words[1]) {
    case F_GETFD:
    case F_GETFL:
    case F_GETOWN:
    case F_GETSIG:
    case F_GETLEASE:
    case F_GETPIPE_SZ:
    case F_GET_SEALS:
        return;
    case F_SETLK:
    case F_SETLKW:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_OFD_GETLK:
        decode_lock(out, seen);
        return;
    default:
        break;
    }
    words_next(words);
    switch (seen->given.words[1]) {
    case F_SETFL:
        add_open_flags(words, (int32_t)argument);
        break;
    case F_SETFD:
        words_flags(words, (uint32_t)argument, constants_fd_flags, "FD_???");
        break;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_SETOWN:
    case F_SETSIG:
    case F_SETPIPE_SZ:
        words_add(words, "%" PRId32, (int32_t)argument);
        break;
    default:
        words_add(words, "%#" PRIx64, (uint64_t)argument);
    }
}

void decode_fcntl(struct decoded *out, struct seen *seen)
{
    int64_t command = seen->given.words[1];
    int32_t ret = seen->event->ret;
    decode_int(out, seen, 0);
    words_next(&out->arguments);
    words_constant(&out->arguments, command, constants_fcntl, "F_???");
    decode_argument(out, seen);
    if (ret < 0 || (command != F_GETFL && command != F_GETFD) || (command == F_GETFD && ret == 0))
        return;
    out->hex = true;
    words_add(&out->result, " (flags ");
    if (command == F_GETFL)
        add_open_flags(&out->result, ret);
    else
        words_flags(&out->result, (uint32_t)ret, constants_fd_flags, "FD_???");
    words_add(&out->result, ")");
}

static const char *request_name(uint64_t request)
{
    const struct constant *known = constants_ioctl;
    while (known->name != NULL && (uint64_t)known->value != request)
        known++;
    return known->name;
}

/* The parts of the number of a request without a name. */
static void add_request(struct words *words, uint64_t request)
{
    words_add(words, "_IOC(");
    if (_IOC_DIR(request) == _IOC_NONE)
        words_add(words, "_IOC_NONE");
    else
        words_flags(words, _IOC_DIR(request), constants_ioctl_direction, "_IOC_???");
    words_add(words, ", %#x, %#x, %#x)", (unsigned)_IOC_TYPE(request), (unsigned)_IOC_NR(request),
              (unsigned)_IOC_SIZE(request));
}

/* A pointer to an int that was read, or that came back; of a request without a name, the bare number. */
void decode_ioctl(struct decoded *out, struct seen *seen)
{
    int number;
    uint64_t request = (uint32_t)seen->given.words[1];
    const char *name = request_name(request);
    const void *bytes = seen_before(seen, sizeof number);
    if (bytes == NULL)
        bytes = seen_after(seen, sizeof number);
    decode_int(out, seen, 0);
    words_next(&out->arguments);
    if (name != NULL)
        words_add(&out->arguments, "%s", name);
    else
        add_request(&out->arguments, request);
    if (request == FIOCLEX || request == FIONCLEX)
        return;
    if (bytes == NULL && name != NULL) {
        decode_pointer(out, seen, 2);
        return;
    }
    words_next(&out->arguments);
    if (bytes == NULL) {
        words_add(&out->arguments, "%#" PRIx64, (uint64_t)seen->given.words[2]);
        return;
    }
    memcpy(&number, bytes, sizeof number);
    words_add(&out->arguments, "[%d]", number);
}

void decode_dup3(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
    decode_int(out, seen, 1);
    words_next(&out->arguments);
    words_flags(&out->arguments, (uint32_t)seen->given.words[2], constants_open, "O_???");
}

void decode_pipe(struct decoded *out, struct seen *seen)
{
    decode_pair(out, seen, 0);
}

void decode_pipe2(struct decoded *out, struct seen *seen)
{
    decode_pair(out, seen, 0);
    words_next(&out->arguments);
    words_flags(&out->arguments, (uint32_t)seen->given.words[1], constants_open, "O_???");
}

void decode_eventfd(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
    words_next(&out->arguments);
    words_flags(&out->arguments, (uint32_t)seen->given.words[1], constants_eventfd, "EFD_???");
}
