/* A library for symbols_test.c, which is built from it with and without what tells of its code. */
#include <sys/socket.h>

#define HIDDEN static __attribute__((noinline, noclone, used))

int place_outer(int fd);
int place_extern(int fd);

#line 100 "places.c"
static inline __attribute__((always_inline)) int place_inner(int fd)
{
    return accept(fd, 0, 0) + 1;
}

#line 200 "places.c"
HIDDEN int place_static(int fd)
{
    return listen(fd, 1) + 1;
}

#line 300 "places.c"
__attribute__((noinline)) int place_outer(int fd)
{
    int first = place_static(fd);
    return place_inner(fd) + first;
}

__attribute__((alias("place_outer"))) int __place_alias(int fd);

__attribute__((noinline)) int place_extern(int fd)
{
    return place_outer(fd) + place_outer(fd + 1);
}
