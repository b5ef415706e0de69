/* net.h on BSD sockets: those of this system or, with -DNET_LWIP, lwIP's. */
#define _POSIX_C_SOURCE 200809L

#include "net.h"

#include <limits.h>
#include <stdio.h>

#ifdef NET_LWIP
#include "lwip/errno.h"
#include "lwip/netdb.h"
#include "lwip/sockets.h"
#else
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

static int poll_once(int net, short events, uint32_t timeout_ms) {
    struct pollfd wait = {.fd = net, .events = events};
    return poll(&wait, 1, timeout_ms < INT_MAX ? (int)timeout_ms : INT_MAX);
}

/* Whether an attempt to connect, which goes on in the background, has succeeded in time. */
static int is_connected(int net, uint32_t timeout_ms) {
    int error = 0;
    socklen_t len = sizeof error;
    return poll_once(net, POLLOUT, timeout_ms) == 1 &&
           getsockopt(net, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

int net_connect(const char *host, uint16_t port, uint32_t timeout_ms) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to;
    char service[6];
    int net, on = 1, made;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    if (getaddrinfo(host, service, &hints, &to) != 0) return NET_ENDED;
    net = socket(to->ai_family, to->ai_socktype, 0);
    /* Without waiting, because a SYN that is lost would block connect for minutes. */
    made = net >= 0 && fcntl(net, F_SETFL, O_NONBLOCK) == 0 &&
           setsockopt(net, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           (connect(net, to->ai_addr, to->ai_addrlen) == 0 ||
            (errno == EINPROGRESS && is_connected(net, timeout_ms)));
    freeaddrinfo(to);
    if (made) return net;
    if (net >= 0) close(net);
    return NET_ENDED;
}

static int has_to_wait(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int net_send(int net, const void *bytes, size_t len) {
    ssize_t sent = send(net, bytes, len < INT_MAX ? len : INT_MAX, MSG_NOSIGNAL);
    if (sent >= 0) return (int)sent;
    return has_to_wait() ? 0 : NET_ENDED;
}

int net_recv(int net, void *bytes, size_t len) {
    ssize_t received = recv(net, bytes, len < INT_MAX ? len : INT_MAX, 0);
    if (received > 0) return (int)received;
    return received < 0 && has_to_wait() ? 0 : NET_ENDED;
}

void net_wait(int net, int what, uint32_t timeout_ms) {
    int events = (what & NET_READ ? POLLIN : 0) | (what & NET_SEND ? POLLOUT : 0);
    poll_once(net, (short)events, timeout_ms);
}

void net_close(int net, int reset) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (reset) setsockopt(net, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(net);
}
