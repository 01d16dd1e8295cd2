#include "trace/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

bool address_is_usable(const void *address, size_t length)
{
    sa_family_t family;
    if (length < sizeof family || length > sizeof(struct sockaddr_storage))
        return false;
    memcpy(&family, address, sizeof family);
    size_t least = family == AF_INET    ? sizeof(struct sockaddr_in)
                   : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                   : family == AF_UNIX  ? PATH_OFFSET + 1
                                        : SIZE_MAX;
    return length >= least;
}

const char *address_host(const struct sockaddr_storage *address, char out[ADDRESS_TEXT_MAX])
{
    const struct sockaddr_in *inet = (const void *)address;
    const struct sockaddr_in6 *inet6 = (const void *)address;
    out[0] = '\0';
    if (address->ss_family == AF_INET)
        inet_ntop(AF_INET, &inet->sin_addr, out, ADDRESS_TEXT_MAX);
    else if (address->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &inet6->sin6_addr, out, ADDRESS_TEXT_MAX);
    return out;
}

/* A path has no terminator where it fills sun_path; an abstract name is whatever bytes the length covers. */
static void unix_text(const struct sockaddr_storage *address, size_t length, char out[ADDRESS_TEXT_MAX])
{
    const struct sockaddr_un *named = (const void *)address;
    length -= PATH_OFFSET;
    if (length > sizeof named->sun_path)
        length = sizeof named->sun_path;
    memcpy(out, named->sun_path, length);
    out[length] = '\0';
    if (out[0] == '\0')
        out[0] = '@';
}

const char *address_text(const void *address, size_t length, char out[ADDRESS_TEXT_MAX])
{
    struct sockaddr_storage copy = {0};
    char host[ADDRESS_TEXT_MAX];
    out[0] = '\0';
    if (!address_is_usable(address, length))
        return out;
    memcpy(&copy, address, length);
    if (copy.ss_family == AF_UNIX)
        unix_text(&copy, length, out);
    else if (copy.ss_family == AF_INET6)
        snprintf(out, ADDRESS_TEXT_MAX, "[%.64s]:%u", address_host(&copy, host),
                 (unsigned)ntohs(((const struct sockaddr_in6 *)(const void *)&copy)->sin6_port));
    else
        snprintf(out, ADDRESS_TEXT_MAX, "%.64s:%u", address_host(&copy, host),
                 (unsigned)ntohs(((const struct sockaddr_in *)(const void *)&copy)->sin_port));
    return out;
}
