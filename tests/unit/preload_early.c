/* For shim_start_test: a library whose constructor runs before the shim's, and whose destructor runs last. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether mmap()'s sixth argument, which goes by the stack, comes through: page 2 of a file and not page 1. */
static int sixth_argument_counts(void)
{
    long file = syscall(SYS_memfd_create, "early", 0L);
    if (file < 0 || syscall(SYS_ftruncate, file, 8192L) != 0 || syscall(SYS_pwrite64, file, "2", 1L, 4096L) != 1)
        return 0;
    char *page = (char *)syscall(SYS_mmap, NULL, 4096L, (long)PROT_READ, (long)MAP_SHARED, file, 4096L);
    int right = page != MAP_FAILED && *page == '2';
    return syscall(SYS_munmap, page, 4096L) == 0 && syscall(SYS_close, file) == 0 && right;
}

/*
 * Makes calls that the shim stands before while it has not looked anything up, and ends the program if one goes wrong.
 * syscall() first, for the others make the shim look up that as well.
 */
__attribute__((constructor(101))) static void call_early(void)
{
    errno = 7;
    if (!sixth_argument_counts() || syscall(SYS_getpid) != getpid() || errno != 7)
        _exit(81);
    errno = 0;
    if (syscall(SYS_accept4, -1, NULL, NULL, 0) != -1 || errno != EBADF)
        _exit(82);
    errno = 0;
    if (accept4(-1, NULL, NULL, 0) != -1 || errno != EBADF)
        _exit(83);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || close(fd) != 0)
        _exit(84);
    setenv("PRELOAD_EARLY", "ran", 1);
}

/* ... where the session, which the constructor came too early for, is there still. */
__attribute__((destructor(101))) static void call_late(void)
{
    errno = 0;
    if (accept4(-1, NULL, NULL, 0) != -1 || errno != ENOMEM)
        _exit(85);
}
