/* A plugin of two_places. */
#include <stddef.h>
#include <sys/socket.h>

int plugin_accept(int fd);

int plugin_accept(int fd)
{
    volatile int client = accept(fd, NULL, NULL); /* not the function's last deed, which would be a jump */
    return client;
}
