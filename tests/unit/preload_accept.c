/* For shim_start_test: a library that stands before the shim with an accept() of its own. */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
    return (int)syscall(SYS_accept, fd, address, length);
}
