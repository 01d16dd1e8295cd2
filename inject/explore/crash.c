#include "explore/crash.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plan/names.h"
#include "sites/modules.h"
#include "sites/symbols.h"

enum {
    FRAMES = 32,      /* of a stack */
    STRICKEN = 16,    /* processes that a signal was seen to strike, and that have not ended yet */
    END_MS = 10000,   /* for the watcher to name what it found */
    CRASH_LINE = 300, /* bytes of a line; names of templates have no end */
};

struct crash_watch {
    int watcher, server; /* the ends of a socket: which of the two is read by whom */
    pid_t pid;           /* the watcher's */
};

struct frame {
    char path[512];  /* of the file, as the process sees it; "": in none */
    int file;        /* -1: it can't be opened */
    bool program;    /* that is the program's own */
    uint64_t offset; /* in it, of an instruction that was executed */
};

/* What was seen when a signal came to a process. */
struct stricken {
    pid_t pid; /* 0: free */
    int signal;
    const char *error; /* why there is no stack; NULL: there is one */
    size_t count;
    struct frame frames[FRAMES];
};

struct watcher {
    char *text;
    size_t size, used;
    struct stricken list[STRICKEN];
    size_t next;
};

/* --- The stack of a thread that stands still --------------------------------------------------------------------- */

/* The program's file alone: debug files say nothing more of where a frame's caller is. */
static int no_debuginfo(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base, const char *file,
                        const char *debuglink, GElf_Word crc, char **found)
{
    (void)module, (void)user, (void)name, (void)base, (void)file, (void)debuglink, (void)crc, (void)found;
    return -1;
}

static void frame_locate(struct frame *frame, pid_t pid, Dwfl *dwfl, Dwarf_Addr pc)
{
    char path[sizeof frame->path + 32], exe[sizeof frame->path];
    GElf_Addr bias = 0;
    Dwfl_Module *module = dwfl_addrmodule(dwfl, pc);
    *frame = (struct frame){.file = -1, .offset = pc};
    const char *name = module != NULL ? dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : NULL;
    if (name == NULL || dwfl_module_getelf(module, &bias) == NULL)
        return;
    snprintf(frame->path, sizeof frame->path, "%s", name);
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(path, exe, sizeof exe);
    frame->program = length > 0 && strncmp(name, exe, (size_t)length) == 0 && name[length] == '\0';
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, name);
    frame->offset = pc - bias;
    if (name[0] == '/')
        frame->file = open(path, O_RDONLY | O_CLOEXEC);
}

/* One frame: a return address is behind its call, which may be the last instruction of its function. */
static int take_frame(Dwfl_Frame *state, void *context)
{
    struct stricken *stricken = context;
    bool exact;
    Dwarf_Addr pc;
    if (!dwfl_frame_pc(state, &pc, &exact))
        return DWARF_CB_ABORT;
    Dwfl *dwfl = dwfl_thread_dwfl(dwfl_frame_thread(state));
    frame_locate(&stricken->frames[stricken->count++], stricken->pid, dwfl, exact ? pc : pc - 1);
    return stricken->count < FRAMES ? DWARF_CB_OK : DWARF_CB_ABORT;
}

static void take_stack(struct stricken *stricken, pid_t thread)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf, .find_debuginfo = no_debuginfo};
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (dwfl != NULL && dwfl_linux_proc_report(dwfl, stricken->pid) == 0 && dwfl_report_end(dwfl, NULL, NULL) == 0 &&
        dwfl_linux_proc_attach(dwfl, stricken->pid, true) == 0)
        dwfl_getthread_frames(dwfl, thread, take_frame, stricken);
    if (stricken->count == 0)
        stricken->error = dwfl_errmsg(-1);
    dwfl_end(dwfl);
}

/* --- What processes do ------------------------------------------------------------------------------------------- */

static void forget(struct stricken *stricken)
{
    for (size_t i = 0; i < stricken->count; i++)
        if (stricken->frames[i].file >= 0)
            close(stricken->frames[i].file);
    *stricken = (struct stricken){.pid = 0};
}

static struct stricken *find(struct watcher *watcher, pid_t pid)
{
    for (size_t i = 0; i < STRICKEN; i++)
        if (watcher->list[i].pid == pid)
            return &watcher->list[i];
    return NULL;
}

static struct stricken *make_room(struct watcher *watcher, pid_t pid)
{
    struct stricken *stricken = find(watcher, pid);
    if (stricken == NULL)
        stricken = find(watcher, 0);
    if (stricken == NULL)
        stricken = &watcher->list[watcher->next++ % STRICKEN];
    forget(stricken);
    return stricken;
}

/* The process that THREAD belongs to, and in *SPARED the signals that it ignores, or has handlers for.  -1: it is gone. */
static pid_t read_status(pid_t thread, uint64_t *spared)
{
    char path[64], line[256];
    int pid = -1;
    uint64_t set;
    *spared = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)thread);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "SigIgn: %" SCNx64, &set) == 1 || sscanf(line, "SigCgt: %" SCNx64, &set) == 1)
            *spared |= set;
        else
            sscanf(line, "Tgid: %d", &pid);
    if (file != NULL)
        fclose(file);
    return pid;
}

/* What a program brings upon itself, and has a handler for at most to say so. */
static bool is_fault(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGABRT ||
           signal == SIGTRAP || signal == SIGSYS;
}

/* That SIGNAL, without a handler, is no end; or it is one that somebody wanted. */
static bool is_harmless(int signal)
{
    return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH || signal == SIGSTOP ||
           signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU || signal == SIGTERM || signal == SIGINT ||
           signal == SIGHUP || signal == SIGQUIT;
}

static void on_signal(struct watcher *watcher, pid_t thread, int signal)
{
    uint64_t spared;
    if (is_harmless(signal))
        return;
    pid_t pid = read_status(thread, &spared);
    if (pid < 0 || (!is_fault(signal) && (spared >> (signal - 1) & 1)))
        return;
    struct stricken *stricken = make_room(watcher, pid);
    stricken->pid = pid;
    stricken->signal = signal;
    take_stack(stricken, thread);
}

/* A stop is one of the whole process, something that ptrace tells, or a signal on its way. */
static void on_stop(struct watcher *watcher, pid_t thread, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, thread, NULL, NULL);
        return;
    }
    if (event != 0)
        signal = 0;
    else
        on_signal(watcher, thread, signal);
    ptrace(PTRACE_CONT, thread, NULL, (void *)(intptr_t)signal);
}

/* --- The stack as text ------------------------------------------------------------------------------------------- */

static void add_line(struct watcher *watcher, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whole lines alone, for as long as there is room. */
static void add_line(struct watcher *watcher, const char *format, ...)
{
    char line[CRASH_LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t length = strlen(line), before = watcher->used > 0;
    if (watcher->used + before + length >= watcher->size)
        return;
    memcpy(watcher->text + watcher->used + before, line, length + 1);
    if (before)
        watcher->text[watcher->used] = '\n';
    watcher->used += before + length;
}

static void add_place(struct watcher *watcher, const struct frame *frame, const struct place *place)
{
    const char *module = frame->path[0] != '\0' ? modules_base(frame->path) : "no module";
    if (place->function == NULL)
        add_line(watcher, "0x%" PRIx64 " in %s", frame->offset, module);
    else if (place->file == NULL)
        add_line(watcher, "%.200s in %s", place->function, module);
    else
        add_line(watcher, "%.200s (%s:%u)%s%s", place->function, modules_base(place->file), place->line,
                 frame->program ? "" : " in ", frame->program ? "" : module);
}

static void add_frame(struct watcher *watcher, struct frame *frame)
{
    struct place places[PLACES_MAX] = {{.function = NULL}};
    struct symbols *symbols = frame->file >= 0 ? symbols_open(frame->file, frame->path) : NULL;
    size_t count = symbols != NULL ? symbols_places(symbols, frame->offset, places) : 1;
    frame->file = -1; /* it was given away */
    for (size_t i = 0; i < count; i++)
        add_place(watcher, frame, &places[i]);
    symbols_free(symbols);
}

/* A process has ended: by the signal that was last seen to come, or by what its handler did then. */
static void on_end(struct watcher *watcher, pid_t pid, int status)
{
    char name[SIGNAL_NAME_MAX];
    struct stricken *stricken = find(watcher, pid);
    if (stricken == NULL)
        return;
    bool by_it = WIFSIGNALED(status) ? WTERMSIG(status) == stricken->signal
                                     : is_fault(stricken->signal) && WEXITSTATUS(status) != 0;
    if (by_it && watcher->used == 0) {
        add_line(watcher, "%s", signal_name(stricken->signal, name));
        if (stricken->error != NULL)
            add_line(watcher, "(the stack is not known: %s)", stricken->error);
        for (size_t i = 0; i < stricken->count; i++)
            add_frame(watcher, &stricken->frames[i]);
    }
    forget(stricken);
}

/* --- The watcher ------------------------------------------------------------------------------------------------- */

/* Until nobody is traced any more. */
static void watch(struct watcher *watcher)
{
    int status;
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno != EINTR)
            return;
        if (pid > 0 && WIFSTOPPED(status))
            on_stop(watcher, pid, status);
        else if (pid > 0)
            on_end(watcher, pid, status);
    }
}

static _Noreturn void run(int socket, pid_t parent, struct watcher *watcher)
{
    const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    pid_t server;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || read(socket, &server, sizeof server) != sizeof server)
        _exit(0);
    if (ptrace(PTRACE_SEIZE, server, NULL, (void *)(intptr_t)options) != 0)
        add_line(watcher, "(the stack of a crash is not known: ptrace: %s)", strerror(errno));
    if (write(socket, &server, sizeof server) == sizeof server)
        watch(watcher);
    _exit(0);
}

struct crash_watch *crash_watch_start(char *text, size_t size)
{
    static struct watcher watcher; /* large, and of use in the child alone */
    int pair[2];
    pid_t parent = getpid();
    struct crash_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(watch);
        return NULL;
    }
    watch->pid = fork();
    if (watch->pid == 0) {
        close(pair[0]);
        watcher = (struct watcher){.text = text, .size = size};
        run(pair[1], parent, &watcher);
    }
    int saved = errno;
    close(pair[1]);
    watch->server = pair[0];
    if (watch->pid > 0)
        return watch;
    close(pair[0]);
    free(watch);
    errno = saved;
    return NULL;
}

/* Where Yama restricts ptrace to descendants, the watcher, which is a sister, has to be named. */
void crash_watch_me(struct crash_watch *watch)
{
    pid_t self = getpid();
    prctl(PR_SET_PTRACER, watch->pid);
    if (write(watch->server, &self, sizeof self) == sizeof self)
        while (read(watch->server, &self, sizeof self) < 0 && errno == EINTR) {
        }
}

/* The watcher ends when it has nobody to trace any more, or never had; then its end of the socket is closed. */
void crash_watch_end(struct crash_watch *watch)
{
    if (watch == NULL)
        return;
    struct pollfd end = {.fd = watch->server, .events = POLLIN};
    shutdown(watch->server, SHUT_WR);
    if (poll(&end, 1, END_MS) != 1)
        kill(watch->pid, SIGKILL);
    close(watch->server);
    waitpid(watch->pid, NULL, 0);
    free(watch);
}
