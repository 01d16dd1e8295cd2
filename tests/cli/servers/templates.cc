// templates: a server in C++ that accepts in a member function of a template, throws what went wrong, and catches it.
#include <cstdio>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

namespace net
{
template <class Socket> class Acceptor
{
  public:
    explicit Acceptor(Socket listener) : listener(listener) {}
    template <class Answer> __attribute__((noinline)) void serve(const Answer &answer)
    {
        int client = accept(listener, nullptr, nullptr);
        if (client < 0)
            throw std::runtime_error("accept failed");
        if (write(client, answer.data(), answer.size()) < 0)
            perror("write");
        close(client);
    }

  private:
    Socket listener;
};
} // namespace net

int main()
{
    sockaddr_in address = {};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 || listen(fd, 16) != 0)
        return 1;
    net::Acceptor<int> acceptor(fd);
    for (;;) {
        try {
            acceptor.serve(std::string("answer\n"));
        } catch (const std::runtime_error &error) {
            fprintf(stderr, "templates: caught: %s\n", error.what());
        }
    }
}
