/* Code that is loaded and unloaded: tests/unit/shim_site_test.c. */
#include <stddef.h>
#include <sys/socket.h>

int accept_in_plugin(int fd);

int accept_in_plugin(int fd)
{
    int ret = accept(fd, NULL, NULL);
    __asm__ volatile("" ::: "memory");
    return ret;
}
