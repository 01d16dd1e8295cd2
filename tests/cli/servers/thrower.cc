/*
 * thrower - a C++ program whose exceptions and whose unwinder must not notice the shim: a signal handler throws out of an
 * accept that waits, many times, from several depths; then it says who throws.
 */
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <unwind.h>

namespace {

int listener;

struct Count {
    static int alive;
    Count() { ++alive; }
    ~Count() { --alive; }
};
int Count::alive;

void interrupt(int)
{
    throw std::runtime_error("interrupted");
}

__attribute__((noinline)) int wait_at(int depth)
{
    Count guard;
    int ret = depth > 0 ? wait_at(depth - 1) : accept(listener, nullptr, nullptr);
    asm volatile("" ::: "memory");
    return ret;
}

/* The alarm comes while accept waits: nothing ever connects. */
int interrupted(int depth)
{
    timer_t timer;
    sigevent event = {};
    itimerspec soon = {{0, 1000000}, {0, 1000000}}; /* again and again, for the first may come too early */
    int caught = 0;
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGALRM;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    try {
        timer_settime(timer, 0, &soon, nullptr);
        wait_at(depth);
    } catch (const std::runtime_error &error) {
        caught = std::string(error.what()) == "interrupted";
    }
    timer_delete(timer);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr); /* the handler did not return */
    return caught;
}

_Unwind_Reason_Code count_frame(_Unwind_Context *, void *data)
{
    ++*static_cast<int *>(data);
    return _URC_NO_REASON;
}

const char *file_of(const char *function)
{
    Dl_info info;
    if (!dladdr(dlsym(RTLD_DEFAULT, function), &info))
        return "nowhere";
    const char *slash = std::strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

} // namespace

int main()
{
    struct sigaction action = {};
    int caught = 0, frames = 0;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(listener, 1) != 0)
        return 1;
    action.sa_handler = interrupt;
    sigaction(SIGALRM, &action, nullptr);
    for (int i = 0; i < 20; i++)
        caught += interrupted(i % 5);
    _Unwind_Backtrace(count_frame, &frames);
    std::printf("caught %d, alive %d, frames %s, by %s\n", caught, Count::alive, frames > 1 ? "seen" : "lost",
                file_of("_Unwind_RaiseException"));
    return 0;
}
