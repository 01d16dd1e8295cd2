#include "run/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_LENGTH = 4096 };

static bool say_quiet;
static bool say_verbose;
static bool say_colors;
static int say_fd = STDERR_FILENO;

void say_setup(bool quiet, bool verbose, enum say_when color)
{
    const char *no_color = getenv("NO_COLOR");
    say_quiet = quiet;
    say_verbose = verbose;
    say_colors = color == SAY_ALWAYS ||
                 (color == SAY_AUTO && (no_color == NULL || no_color[0] == '\0') && isatty(STDERR_FILENO) == 1);
}

void say_to(int fd)
{
    say_fd = fd;
}

const char *say_paint(enum say_paint paint)
{
    static const char *const escapes[] = {
        [PAINT_NONE] = "",         [PAINT_GOOD] = "\033[32m", [PAINT_BAD] = "\033[31m",
        [PAINT_WARN] = "\033[33m", [PAINT_BOLD] = "\033[1m",
    };
    return say_colors ? escapes[paint] : "";
}

const char *say_plain(void)
{
    return say_colors ? "\033[0m" : "";
}

/* Nothing can be done about a stderr that takes nothing: the exit status still says it. */
static void say_write(const char *line, size_t length)
{
    while (length > 0) {
        ssize_t written = write(say_fd, line, length);
        if (written <= 0)
            return;
        line += written;
        length -= (size_t)written;
    }
}

static void say_line(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static void say_line(const char *format, va_list arguments)
{
    char line[LINE_LENGTH] = "snag: ";
    size_t prefix = strlen(line);
    int length = vsnprintf(line + prefix, sizeof line - prefix - 1, format, arguments);
    if (length < 0)
        return;
    size_t end = prefix + (size_t)length;
    if (end > sizeof line - 2)
        end = sizeof line - 2;
    line[end++] = '\n';
    say_write(line, end);
}

void say_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
}

void say_note(const char *format, ...)
{
    va_list arguments;
    if (say_quiet)
        return;
    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
}

void say_detail(const char *format, ...)
{
    va_list arguments;
    if (!say_verbose || say_quiet)
        return;
    va_start(arguments, format);
    say_line(format, arguments);
    va_end(arguments);
}
