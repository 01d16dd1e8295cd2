/*
 * foreign: makes a 32-bit system call (int $0x80), listen of i386 among the socket calls, and an x32 one, and says what
 * came of each.  It ends by a 32-bit exit_group, with status 3.
 */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(363L), "b"(-1L), "c"(1L) : "memory", "r8", "r9", "r10", "r11");
    printf("32-bit listen: %ld\n", result);
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(0x40000000L + SYS_listen), "D"(-1L), "S"(1L)
                     : "memory", "rcx", "r11");
    printf("x32 listen: %ld\n", result);
    fflush(stdout);
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(252L), "b"(3L)
                     : "memory", "r8", "r9", "r10", "r11"); /* exit_group */
    printf("32-bit exit_group: %ld\n", result);
#endif
    return 0;
}
