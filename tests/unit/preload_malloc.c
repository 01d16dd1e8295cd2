/* For shim_start_test: an allocator that calls syscall() from the first malloc() on, as jemalloc does, which is while the
 * loader is still at work. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARENA = 256 << 20, HEADER = 16 };

static char *next, *end;
unsigned long preload_malloc_calls;

void *malloc(size_t size)
{
    preload_malloc_calls++;
    if (!next) {
        long at = syscall(SYS_mmap, NULL, (long)ARENA, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1L, 0L);
        if (at == -1)
            _exit(91);
        next = (char *)(intptr_t)at;
        end = next + ARENA;
    }
    if (syscall(SYS_gettid) <= 0)
        _exit(92);
    size = (size + HEADER + 15) & ~(size_t)15;
    char *block = __atomic_fetch_add(&next, size, __ATOMIC_RELAXED);
    if (block + size > end)
        return NULL;
    memcpy(block, &size, sizeof size);
    return block + HEADER;
}

/* As in jemalloc: its state is made in a constructor, which runs before the shim's when it is loaded behind it. */
__attribute__((constructor)) static void start(void)
{
    void *volatile block = malloc(1); /* or the compiler leaves both out */
    free(block);
}

void free(void *block)
{
    (void)block;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* of fresh pages, each byte given once */
}

void *realloc(void *old, size_t size)
{
    void *block = malloc(size);
    size_t had;
    if (!old || !block)
        return block;
    memcpy(&had, (char *)old - HEADER, sizeof had);
    had -= HEADER;
    return memcpy(block, old, had < size ? had : size);
}
