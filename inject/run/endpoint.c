#include "run/endpoint.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "run/proc.h"
#include "run/spawn.h"

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

static const struct sockaddr_in *as_inet(const struct endpoint *endpoint)
{
    return (const struct sockaddr_in *)(const void *)&endpoint->address;
}

static const struct sockaddr_in6 *as_inet6(const struct endpoint *endpoint)
{
    return (const struct sockaddr_in6 *)(const void *)&endpoint->address;
}

bool endpoint_set(struct endpoint *out, const void *address, size_t length)
{
    memset(out, 0, sizeof *out);
    if (!address_is_usable(address, length))
        return false;
    memcpy(&out->address, address, length);
    out->length = (socklen_t)length;
    return true;
}

static void aim_unix(struct endpoint *endpoint, pid_t pid)
{
    struct sockaddr_un *unix_address = (struct sockaddr_un *)(void *)&endpoint->address;
    char folder[PATH_MAX], path[2 * PATH_MAX];
    if (unix_address->sun_path[0] == '\0' || unix_address->sun_path[0] == '/' || proc_cwd(pid, folder) != 0)
        return;
    const char *name = unix_address->sun_path;
    size_t skip = name[0] == '.' && name[1] == '/' ? 2 : 0;
    int length =
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)(endpoint->length - PATH_OFFSET - skip), name + skip);
    /* One that does not fit can't be connected to by this name; the relative one is still the best there is. */
    if (length <= 0 || (size_t)length >= sizeof unix_address->sun_path)
        return;
    memcpy(unix_address->sun_path, path, (size_t)length + 1);
    endpoint->length = (socklen_t)(PATH_OFFSET + (size_t)length + 1);
}

void endpoint_aim(struct endpoint *endpoint, pid_t pid)
{
    struct sockaddr_in *inet = (struct sockaddr_in *)(void *)&endpoint->address;
    struct sockaddr_in6 *inet6 = (struct sockaddr_in6 *)(void *)&endpoint->address;
    if (endpoint->address.ss_family == AF_INET && inet->sin_addr.s_addr == htonl(INADDR_ANY))
        inet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (endpoint->address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&inet6->sin6_addr))
        inet6->sin6_addr = in6addr_loopback;
    else if (endpoint->address.ss_family == AF_UNIX)
        aim_unix(endpoint, pid);
}

bool endpoint_is_tcp(const struct endpoint *endpoint)
{
    return endpoint->address.ss_family == AF_INET || endpoint->address.ss_family == AF_INET6;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    if (endpoint->address.ss_family == AF_INET)
        return ntohs(as_inet(endpoint)->sin_port);
    if (endpoint->address.ss_family == AF_INET6)
        return ntohs(as_inet6(endpoint)->sin6_port);
    return 0;
}

const char *endpoint_host(const struct endpoint *endpoint, char out[ADDRESS_TEXT_MAX])
{
    return address_host(&endpoint->address, out);
}

const char *endpoint_text(const struct endpoint *endpoint, char out[ADDRESS_TEXT_MAX])
{
    return address_text(&endpoint->address, endpoint->length, out);
}

int endpoint_variables(const struct endpoint *endpoint, char *out[ENDPOINT_VARIABLES])
{
    char text[ADDRESS_TEXT_MAX], host[ADDRESS_TEXT_MAX], port[8] = "";
    bool tcp = endpoint_is_tcp(endpoint);
    endpoint_text(endpoint, text);
    if (tcp)
        snprintf(port, sizeof port, "%u", (unsigned)endpoint_port(endpoint));
    out[0] = spawn_variable("SNAG_HOST", endpoint_host(endpoint, host));
    out[1] = spawn_variable("SNAG_PORT", port);
    out[2] = spawn_variable("SNAG_ADDR", tcp ? text : "");
    out[3] = spawn_variable("SNAG_PATH", tcp ? "" : text);
    return out[0] != NULL && out[1] != NULL && out[2] != NULL && out[3] != NULL ? 0 : -1;
}
