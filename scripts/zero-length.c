/*
 * zero-length - preloaded into a server, has one accept report an address of length 0: the client is accepted, and not a
 * byte of the address is written.  (strace can only overwrite what the kernel has written.)
 *
 * $ZERO_LENGTH names a file of two ints, which all processes of the server share: the first is set to 1 by who wants it done,
 * and the second counts.  Part of the gauntlet, which compares snag with other tools: it shares nothing with snag's shim.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static _Atomic int *shared;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("ZERO_LENGTH");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd != -1 ? mmap(NULL, 2 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    shared = map != MAP_FAILED ? map : NULL;
    if (fd != -1)
        close(fd);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    static int (*real)(int, struct sockaddr *, socklen_t *, int);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "accept4");
    if (shared == NULL || address == NULL || atomic_load(&shared[0]) == 0)
        return real(fd, address, length, flags);
    struct sockaddr_storage unseen;
    socklen_t room = sizeof unseen;
    int client = real(fd, (struct sockaddr *)&unseen, &room, flags);
    if (client == -1 || atomic_exchange(&shared[0], 0) == 0)
        return client;
    *length = 0;
    atomic_fetch_add(&shared[1], 1);
    return client;
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    return accept4(fd, address, length, 0);
}
