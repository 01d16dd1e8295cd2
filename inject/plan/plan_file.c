/* plan_file.c - a plan file: read whole, then taken line by line; all its mistakes are shown at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plan/plan.h"
#include "plan/plan_rules.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";

/* A file that is being taken. */
struct reader {
    struct plan *plan;
    const char *path;
    FILE *errors;
    size_t line; /* from 1 */
    size_t bad;  /* lines with a mistake */
    bool out_of_memory;
};

/* Says why PATH can't be a plan; ERROR is the errno to return with. */
static int file_refuse(const char *path, const char *why, int error, FILE *errors)
{
    fprintf(errors, "snag: ");
    diag_print_text((struct slice){path, strlen(path)}, errors);
    fprintf(errors, ": %s\n", why);
    errno = error;
    return -1;
}

/* Reads FILE into BUFFER, which has PLAN_FILE_MAX + 1 bytes.  Returns 0, or -1 as plan_add_file() does. */
static int file_read(FILE *file, const char *path, char *buffer, size_t *length, FILE *errors)
{
    *length = fread(buffer, 1, PLAN_FILE_MAX + 1, file);
    if (ferror(file))
        return file_refuse(path, strerror(errno), errno, errors);
    if (*length > PLAN_FILE_MAX)
        return file_refuse(path, "not a plan: larger than 1 MiB", EINVAL, errors);
    if (memchr(buffer, '\0', *length))
        return file_refuse(path, "not a plan: a binary file (it holds a NUL byte)", EINVAL, errors);
    return 0;
}

/* Whether PATH stands for a descriptor that the caller of snag opened: its pipe has, or had, a writer. */
static bool is_descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (strncmp(path, folders[i], strlen(folders[i])) == 0)
            return true;
    return strcmp(path, "/dev/stdin") == 0;
}

/* Checks that reading FD will come to an end. */
static int file_check(int fd, const char *path, FILE *errors)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return file_refuse(path, strerror(errno), errno, errors);
    if (S_ISREG(status.st_mode))
        return 0;
    if (S_ISDIR(status.st_mode))
        return file_refuse(path, strerror(EISDIR), EISDIR, errors);
    if (!S_ISFIFO(status.st_mode) || !is_descriptor(path))
        return file_refuse(path, "not a regular file (a pipe can be given as /dev/stdin or /dev/fd/N)", EINVAL, errors);
    if (fcntl(fd, F_SETFL, 0) != 0)
        return file_refuse(path, strerror(errno), errno, errors);
    return 0;
}

/* Opens PATH, without waiting for the other end of a FIFO. */
static FILE *file_open(const char *path, FILE *errors)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        file_refuse(path, strerror(errno), errno, errors);
        return NULL;
    }
    FILE *file = NULL;
    if (file_check(fd, path, errors) == 0 && (file = fdopen(fd, "r")) == NULL)
        file_refuse(path, strerror(errno), errno, errors);
    int error = errno;
    if (file == NULL)
        close(fd);
    errno = error;
    return file;
}

/* Returns the contents of PATH, for the caller to free, and their length; NULL as plan_add_file() says. */
static char *file_load(const char *path, size_t *length, FILE *errors)
{
    FILE *file = file_open(path, errors);
    if (file == NULL)
        return NULL;
    char *buffer = malloc(PLAN_FILE_MAX + 1);
    int read =
        buffer ? file_read(file, path, buffer, length, errors) : file_refuse(path, "out of memory", ENOMEM, errors);
    int error = errno;
    fclose(file);
    if (read < 0) {
        free(buffer);
        buffer = NULL;
    }
    errno = error;
    return buffer;
}

/* Returns LINE up to its comment: a # at its start or after a blank, outside quotes. */
static struct slice line_without_comment(struct slice line)
{
    bool quoted = false;
    for (size_t i = 0; i < line.length; i++) {
        char before = i > 0 ? line.at[i - 1] : ' ';
        if (line.at[i] == '\\')
            i++;
        else if (line.at[i] == '"')
            quoted = !quoted;
        else if (line.at[i] == '#' && !quoted && (before == ' ' || before == '\t'))
            return (struct slice){line.at, i};
    }
    return line;
}

/* Returns what follows `set` and a blank in SOURCE; .at is NULL if SOURCE is no setting. */
static struct slice line_setting(struct slice source)
{
    if (source.length < 4 || memcmp(source.at, "set", 3) != 0 || (source.at[3] != ' ' && source.at[3] != '\t'))
        return (struct slice){NULL, 0};
    return slice_trim((struct slice){source.at + 3, source.length - 3});
}

static void reader_line(struct reader *reader, struct slice line)
{
    struct diag diag = {.text = line};
    struct slice source = slice_trim(line_without_comment(line));
    struct slice setting = line_setting(source);
    reader->line++;
    if (source.length == 0)
        return;
    int taken = setting.at ? plan_take_setting(reader->plan, setting, &diag) : plan_take(reader->plan, source, &diag);
    if (taken == 0)
        return;
    reader->bad++;
    if (errno == ENOMEM)
        reader->out_of_memory = true;
    else if (reader->bad <= PLAN_ERRORS_MAX)
        diag_print_line(&diag, reader->path, reader->line, reader->errors);
}

static void reader_lines(struct reader *reader, const char *text, size_t length)
{
    const char *end = text + length;
    size_t mark = sizeof byte_order_mark - 1;
    if (length >= mark && memcmp(text, byte_order_mark, mark) == 0)
        text += mark;
    while (text < end && !reader->out_of_memory) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *next = newline ? newline + 1 : end;
        struct slice line = {text, (size_t)((newline ? newline : end) - text)};
        if (line.length > 0 && line.at[line.length - 1] == '\r')
            line.length--;
        reader_line(reader, line);
        text = next;
    }
}

int plan_add_file(struct plan *plan, const char *path, FILE *errors)
{
    struct reader reader = {.plan = plan, .path = path, .errors = errors};
    struct plan_mark mark = plan_mark(plan);
    size_t length;
    char *text = file_load(path, &length, errors);
    if (text == NULL)
        return -1;
    reader_lines(&reader, text, length);
    free(text);
    if (reader.bad == 0)
        return 0;
    plan_back_to(plan, &mark);
    if (reader.out_of_memory)
        return file_refuse(path, "out of memory", ENOMEM, errors);
    if (reader.bad > PLAN_ERRORS_MAX)
        fprintf(errors, "snag: and %zu more bad lines\n", reader.bad - PLAN_ERRORS_MAX);
    errno = EINVAL;
    return -1;
}
