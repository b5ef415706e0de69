/* The tutorial's client for an RTOS: it sends back what it gets, in upper case, as raw bytes
   without headers. There are no beats. The kernel finds out that the server's machine is gone, with
   keepalive and TCP_USER_TIMEOUT; that its program hangs, it cannot see.

   `upper HOST PORT [SECONDS]` declares the server dead after so many seconds (12, as the tutorial's
   3 s, 3 s and 3 do). */

#define _POSIX_C_SOURCE 200809L

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "heartwire.h"

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int set(int server, int level, int option, uint32_t value) {
    int number = (int)value;
    return setsockopt(server, level, option, &number, sizeof number);
}

/* Four numbers that fit together: `hw_keepalive_fit` sees to it that one lost probe does not end a
   healthy connection. */
static int set_timers(int server, const hw_keepalive *fit) {
    return set(server, SOL_SOCKET, SO_KEEPALIVE, 1) || set(server, IPPROTO_TCP, TCP_NODELAY, 1)
        || set(server, IPPROTO_TCP, TCP_KEEPIDLE, fit->idle_s)
        || set(server, IPPROTO_TCP, TCP_KEEPINTVL, fit->interval_s)
        || set(server, IPPROTO_TCP, TCP_KEEPCNT, fit->count)
        || set(server, IPPROTO_TCP, TCP_USER_TIMEOUT, fit->user_timeout_ms);
}

/* A connected socket, or -1. */
static int dial(const char *host, const char *port, const hw_keepalive *fit) {
    struct addrinfo hints, *to;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &to) != 0) return -1;
    int server = socket(to->ai_family, to->ai_socktype, 0);
    /* TCP_USER_TIMEOUT bounds the attempt as well. */
    if (server >= 0 && (set_timers(server, fit) || connect(server, to->ai_addr, to->ai_addrlen))) {
        close(server);
        server = -1;
    }
    freeaddrinfo(to);
    return server;
}

/* Answers until the connection ends. */
static void answer(int server) {
    char bytes[1024];
    for (;;) {
        ssize_t len = recv(server, bytes, sizeof bytes, 0);
        if (len <= 0) return;
        for (ssize_t at = 0; at < len; at++) {
            if (bytes[at] >= 'a' && bytes[at] <= 'z') bytes[at] -= 'a' - 'A';
        }
        for (ssize_t sent = 0, more; sent < len; sent += more) {
            more = send(server, bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL);
            if (more < 0) return;
        }
    }
}

static hw_client_memory memory;
static uint8_t rx[HW_MIN_RX], tx[HW_MIN_TX];

int main(int argc, char **argv) {
    hw_keepalive fit;
    uint32_t seconds = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 12;
    if (seconds > UINT32_MAX / 1000) seconds = 0;
    if (argc < 3 || hw_keepalive_fit(seconds * 1000, &fit) != HW_OK) {
        fprintf(stderr, "usage: upper HOST PORT [SECONDS]\n");
        return 2;
    }
    fprintf(stderr, "keepalive after %u s, every %u s, %u times; user timeout %u ms\n",
            (unsigned)fit.idle_s, (unsigned)fit.interval_s, (unsigned)fit.count,
            (unsigned)fit.user_timeout_ms);

    /* The library's part is when to come back: the tutorial's fixed 100 ms keep a server down that
       all of its clients have brought down. */
    hw_client *client = (hw_client *)&memory;
    hw_config config;
    hw_config_default(&config);
    config.protocol = HW_PROTOCOL_RAW;
    config.interval_ms = config.timeout_ms = 0;
    config.rx = rx, config.rx_len = sizeof rx;
    config.tx = tx, config.tx_len = sizeof tx;
    config.first_wait_ms = 100;
    config.seed = (uint64_t)time(NULL) << 32 ^ (uint64_t)getpid();
    if (hw_client_init(client, sizeof memory, &config) != HW_OK) return 1;
    for (;;) {
        uint64_t wait = hw_client_retry_ms(client, now_ms());
        struct timespec rest = {(time_t)(wait / 1000), (long)(wait % 1000) * 1000000};
        nanosleep(&rest, NULL);
        int server = dial(argv[1], argv[2], &fit);
        if (server >= 0) {
            hw_client_connected(client, now_ms());
            answer(server);
            close(server);
        }
        hw_client_disconnected(client, now_ms());
    }
}
