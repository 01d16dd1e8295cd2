/* hand_over PORT COMMAND...: listens on 127.0.0.1:PORT and becomes COMMAND, which finds the socket as descriptor 3, as
   systemd would pass it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (argc < 3)
        return 2;
    in.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (s < 0 || bind(s, (struct sockaddr *)&in, sizeof in) != 0 || listen(s, 128) != 0 ||
        (s != 3 && dup2(s, 3) != 3)) {
        perror("hand_over");
        return 1;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
