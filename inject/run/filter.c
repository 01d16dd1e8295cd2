#include "run/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run/reach.h"

static bool counts_by_fd(const struct rule *rule)
{
    return rule->scope == PER_FD;
}

/* ENFILE counts open files, of which a dup2 over a descriptor frees one without a change of their number. */
static bool counts_files(const struct rule *rule)
{
    return rule_exhausts(rule) && rule->error == ENFILE;
}

static bool is_accept(enum call call)
{
    return call_info(call)->class == OF_ACCEPT;
}

/* After such an accept4, what comes between it and an accept tells whether the two are one logical call. */
static bool falls_back(const struct rule *rule)
{
    return rule_names(rule, CALL_accept4) && (rule->actions & ACT_FAIL) &&
           (rule->error == EINVAL || rule->error == ENOSYS);
}

/* Whether RULE can't be decided about without knowing of CALL. */
static bool rule_wants(const struct rule *rule, enum call call)
{
    bool replaces = call == CALL_dup2 || call == CALL_dup3;
    return rule_names(rule, call) || (falls_back(rule) && (call == CALL_accept || board_call_breaks(call))) ||
           ((replaces || call == CALL_close) && counts_by_fd(rule)) || (replaces && counts_files(rule));
}

/* Until the server is ready its waits are looked at from outside, so WANT_READY alone traps nothing. */
static bool is_trapped(struct board *board, enum call call)
{
    uint32_t stamp = atomic_load(&board->plan_stamp);
    if ((board->wanted[call] & WANT_RECORD) || call == CALL_listen || call == CALL_io_uring_setup)
        return true;
    for (uint32_t i = 0; i < board->rule_counts[stamp % PLANS]; i++)
        if (rule_wants(&board_rules(board, stamp)[i], call))
            return true;
    return false;
}

/* A rule for ENFILE may come later: calls that are as rare as dup2 are not worth refusing it. */
static void choose_calls(struct filter *filter, struct board *board)
{
    bool accepts = false;
    for (enum call call = 0; call < CALL_COUNT; call++) {
        filter->trapped[call] = is_trapped(board, call);
        accepts |= filter->trapped[call] && is_accept(call);
    }
    filter->trapped[CALL_dup2] |= accepts;
    filter->trapped[CALL_dup3] |= accepts;
}

static int trap(scmp_filter_ctx context, long number)
{
    int error = number >= 0 ? seccomp_rule_add(context, SCMP_ACT_NOTIFY, (int)number, 0) : 0;
    return error == -EEXIST ? 0 : error;
}

/* Besides the row of a call, the numbers under which libc makes it. */
static int trap_call(scmp_filter_ctx context, enum call call)
{
    int error = trap(context, call_info(call)->number);
#ifdef SYS_eventfd
    if (error == 0 && call == CALL_eventfd)
        error = trap(context, SYS_eventfd);
#endif
    if (error == 0 && call == CALL_select)
        error = trap(context, SYS_pselect6);
    return error;
}

/* What is no call of this machine's own kind (32-bit, x32) waits too, and is refused. */
static int add_rules(scmp_filter_ctx context, const struct filter *filter)
{
    int error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_NOTIFY);
    if (error == 0)
        error = trap(context, SYS_execve);
    if (error == 0)
        error = trap(context, SYS_execveat);
    if (error == 0 && filter->trapped[CALL_close])
        error = trap(context, SYS_close_range);
    for (enum call call = 0; call < CALL_COUNT && error == 0; call++)
        if (filter->trapped[call])
            error = trap_call(context, call);
    return error;
}

/* libseccomp 2.5 gives its program to a descriptor alone. */
static int export_program(scmp_filter_ctx context, struct sock_fprog *out)
{
    struct stat status;
    int fd = memfd_create("snag-filter", MFD_CLOEXEC), error = fd < 0 ? -errno : seccomp_export_bpf(context, fd);
    if (error == 0 && fstat(fd, &status) != 0)
        error = -errno;
    if (error == 0) {
        size_t size = (size_t)status.st_size;
        out->filter = malloc(size);
        out->len = (unsigned short)(size / sizeof *out->filter);
        if (out->filter == NULL)
            error = -ENOMEM;
        else if (pread(fd, out->filter, size, 0) != (ssize_t)size)
            error = -EIO;
    }
    if (fd >= 0)
        close(fd);
    return error;
}

int filter_build(struct filter *out, struct board *board)
{
    *out = (struct filter){.gains = reach_may_gain()};
    choose_calls(out, board);
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int error = context != NULL ? add_rules(context, out) : -ENOMEM;
    if (error == 0)
        error = export_program(context, &out->program);
    if (context != NULL)
        seccomp_release(context);
    if (error == 0)
        return 0;
    filter_free(out);
    errno = -error;
    return -1;
}

void filter_free(struct filter *filter)
{
    free(filter->program.filter);
    filter->program.filter = NULL;
}

bool filter_lacks(const struct filter *filter, const struct rule *rule, FILE *words)
{
    static const char why[] = "the filter of this session lets a call pass that this rule needs, and can't be changed; "
                              "start the session with -e trace=";
    size_t lacking = 0;
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (rule_wants(rule, call) && !filter->trapped[call])
            fprintf(words, "%s%s", lacking++ ? "," : why, call_info(call)->name);
    return lacking > 0;
}

int filter_install(const struct filter *filter)
{
    if (!filter->gains && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter->program);
}

const char *filter_fault(void)
{
    uint32_t action = SECCOMP_RET_USER_NOTIF;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
        return errno == ENOSYS ? "this kernel has no seccomp" : "this kernel has no seccomp notifications (Linux 5.0)";
    if (syscall(SYS_pidfd_getfd, -1, -1, 0) != 0 && errno == ENOSYS)
        return "this kernel has no pidfd_getfd (Linux 5.6), or a filter that is there already forbids it";
    return NULL;
}

const char *filter_install_fault(int error)
{
    switch (error) {
    case EBUSY:
        return "the place it runs in has a filter with notifications already, and the kernel allows one (a container "
               "runtime's, or another snag's)";
    case EACCES:
    case EPERM:
        return "the filter is not allowed here";
    default:
        return "the filter can't be installed";
    }
}
