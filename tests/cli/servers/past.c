/*
 * past - an echo server that gets past the shim: it accepts through an io_uring, or by a system call that it makes itself,
 * as programs on liburing and Go programs do.
 *
 *     past ring PORT     io_uring_setup by syscall(2); if that fails, it accepts as others do
 *     past inline PORT   io_uring_setup by an instruction of its own (liburing's way)
 *     past raw PORT      no ring, accept by an instruction of its own
 *
 * It serves one client after the other.  Exit status 77: the kernel has no io_uring for it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A system call without libc.  Returns -errno for an error. */
static long own_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#endif
}

static long pointer(const void *at)
{
    return (long)(intptr_t)at;
}

static struct ring {
    int fd;
    struct io_uring_params parameters;
    char *sq, *cq;
    struct io_uring_sqe *entries;
} ring;

static void *map(size_t size, uint64_t at)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, (off_t)at);
    if (memory == MAP_FAILED) {
        perror("past: mmap");
        exit(1);
    }
    return memory;
}

/* Returns whether there is a ring now; errno says why not. */
static int ring_make(int by_own_call)
{
    struct io_uring_params *p = &ring.parameters;
    long fd = by_own_call ? own_call(SYS_io_uring_setup, 4, pointer(p), 0, 0, 0, 0) : syscall(SYS_io_uring_setup, 4, p);
    if (fd < 0) {
        if (by_own_call)
            errno = (int)-fd;
        return 0;
    }
    ring.fd = (int)fd;
    ring.sq = map(p->sq_off.array + p->sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
    ring.cq = map(p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
    ring.entries = map(p->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    return 1;
}

static uint32_t *word(char *base, uint32_t offset)
{
    return (uint32_t *)(void *)(base + offset);
}

/* One accept through the ring, waited for. */
static int ring_accept(int listener)
{
    const struct io_uring_params *p = &ring.parameters;
    uint32_t tail = *word(ring.sq, p->sq_off.tail), index = tail & *word(ring.sq, p->sq_off.ring_mask);
    struct io_uring_sqe *entry = &ring.entries[index];
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_ACCEPT;
    entry->fd = listener;
    word(ring.sq, p->sq_off.array)[index] = index;
    __atomic_store_n(word(ring.sq, p->sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    long done = own_call(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    if (done < 0) {
        errno = (int)-done;
        return -1;
    }
    uint32_t *head = word(ring.cq, p->cq_off.head);
    const struct io_uring_cqe *answers = (const void *)(ring.cq + p->cq_off.cqes);
    int fd = answers[*head & *word(ring.cq, p->cq_off.ring_mask)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return fd;
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    address.sin_port = htons((uint16_t)atoi(port));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0) {
        perror("past: listen");
        exit(1);
    }
    poll(&entry, 1, 0); /* what shows that it is ready */
    return fd;
}

static void serve(int fd)
{
    char bytes[256];
    ssize_t length;
    while ((length = read(fd, bytes, sizeof bytes)) > 0)
        if (write(fd, bytes, (size_t)length) != length)
            break;
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int raw = strcmp(argv[1], "raw") == 0, own = strcmp(argv[1], "inline") == 0;
    int uses_ring = !raw && ring_make(own);
    if (!raw && !uses_ring) {
        perror("past: io_uring_setup");
        if (own)
            return 77;
    }
    int listener = listen_on(argv[2]);
    for (;;) {
        int fd = uses_ring ? ring_accept(listener)
                 : raw     ? (int)own_call(SYS_accept4, listener, 0, 0, 0, 0, 0)
                           : accept(listener, NULL, NULL);
        if (fd >= 0)
            serve(fd);
    }
}
