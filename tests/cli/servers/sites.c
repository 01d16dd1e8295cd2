/* sites - calls accept at four places, for tests of call sites, and ends. */
#include <stddef.h>
#include <sys/socket.h>

__attribute__((noinline, noipa)) static int serve(int depth)
{
    int ret = depth ? serve(depth - 1) : accept(-1, NULL, NULL);
    __asm__ volatile("" ::: "memory");
    return ret;
}

int main(void)
{
    for (int depth = 0; depth < 3; depth++)
        if (serve(depth) != -1)
            return 1;
    return accept(-1, NULL, NULL) == -1 ? 0 : 1;
}
