/* A client for any system with sockets: it connects, sends each line of its input, prints what the
   server sends, and comes back when the connection is lost. report.h tells on standard error what
   happens. What a program has to do with the library begins at `take_events`.

   Usage: posix [OPTIONS] HOST PORT; options.h has the options and exit codes. */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "heartwire.h"
#include "options.h"
#include "report.h"

enum { MAX_BODY = 8192, DIAL_MS = 20000, CLOSE_MS = 1000 };

/* All the memory that the library uses. */
static hw_client_memory memory;
static uint8_t rx[8 + MAX_BODY], tx[8 + MAX_BODY + 512];

static hw_client *const client = (hw_client *)&memory;

/* The connection that there is. */
static struct {
    int socket;
    bool has_ended, cannot_write;
    int error; /* what this system says to that; 0: the server has closed it */
    uint8_t bytes[4096];
    size_t taken, len; /* how many bytes came, and how many of them the library has taken */
    hw_event_kind end; /* of the last event, if that was one */
    bool is_dead;
} server;

/* Lines of input that wait to be sent, and a message that waits to be printed. */
static struct {
    char bytes[MAX_BODY + 1];
    size_t len;
    bool has_ended;
} input;
static struct {
    uint8_t bytes[sizeof rx + 1];
    size_t printed, len;
} output;

/* A signal writes to one end, and `poll` sees it at the other. */
static int stop_pipe[2];
static bool is_stopped;

static uint64_t now_ms(void) {
    struct timespec now;
#ifdef CLOCK_BOOTTIME /* It goes on while the machine is suspended, as the server's clock does. */
    clock_gettime(CLOCK_BOOTTIME, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for these, until `deadline`. */
static void wait_for(struct pollfd *ready, nfds_t count, uint64_t deadline) {
    uint64_t now = now_ms(), ms = deadline > now ? deadline - now : 0;
    int most = deadline == HW_NEVER ? -1 : ms < INT_MAX ? (int)ms : INT_MAX;
    if (poll(ready, count, most) < 0) {
        for (nfds_t at = 0; at < count; at++) ready[at].revents = 0; /* by a signal */
    }
}

/* Prints what waits, as far as its reader has room. Says whether that was all of it.

   A pipe for which `poll` says so takes this many bytes at once. So nothing blocks here, and
   O_NONBLOCK is not needed, which would change a terminal for other programs. */
static bool flush_output(void) {
    while (output.printed < output.len) {
        struct pollfd ready = {STDOUT_FILENO, POLLOUT, 0};
        size_t len = output.len - output.printed;
        if (poll(&ready, 1, 0) <= 0) {
            if (!is_stopped) return false;
            output.len = 0; /* a program that is to stop does not wait for its reader */
            break;
        }
        if (len > _POSIX_PIPE_BUF) len = _POSIX_PIPE_BUF;
        ssize_t printed = write(STDOUT_FILENO, output.bytes + output.printed, len);
        if (printed >= 0) {
            output.printed += (size_t)printed;
        } else if (errno != EINTR) {
            output.len = 0;
            is_stopped = true; /* without a reader there is nothing left to do */
        }
    }
    return true;
}

/* Takes the library's events, as far as the reader of the data keeps up. Says whether those were
   all. */
static bool take_events(void) {
    hw_event event;
    while (flush_output()) {
        hw_client_event(client, now_ms(), &event);
        switch (event.kind) {
        case HW_EVENT_NONE:
            return true;
        case HW_EVENT_DATA:
            memcpy(output.bytes, event.of.data.ptr, event.of.data.len);
            output.len = event.of.data.len;
            output.printed = 0;
            if (config.protocol != HW_PROTOCOL_RAW) output.bytes[output.len++] = '\n';
            break;
        case HW_EVENT_WELCOME:
            if (options.promise_ms) hw_client_promise(client, options.promise_ms, NULL);
            report_event(&event);
            break;
        case HW_EVENT_DEAD:
        case HW_EVENT_BROKEN:
        case HW_EVENT_BYE:
        case HW_EVENT_CLOSED:
            server.end = event.kind;
            server.is_dead = report_end(&event, server.error, is_stopped);
            break;
        default:
            report_event(&event);
        }
    }
    return false;
}

/* Sends the lines that were read, as far as there is room. */
static void send_lines(void) {
    for (;;) {
        const char *end = memchr(input.bytes, '\n', input.len);
        size_t len = end ? (size_t)(end - input.bytes) : input.len;
        if (len > MAX_BODY) len = MAX_BODY, end = NULL; /* in two pieces */
        if (config.protocol == HW_PROTOCOL_RAW) len = input.len, end = NULL;
        else if (!end && len < MAX_BODY && !input.has_ended) return;
        if (!end && len == 0) return;

        hw_status status = hw_client_send(client, now_ms(), (const uint8_t *)input.bytes, len);
        if (status == HW_ERR_ROOM || status == HW_ERR_STATE) return; /* later */
        if (status != HW_OK) report("unsent", ",\"detail\":\"%s\"", hw_status_text(status));
        if (end) len++;
        input.len -= len;
        memmove(input.bytes, input.bytes + len, input.len);
    }
}

/* Gives the library what has come, as far as it has room. Says whether there may be more. */
static bool receive(void) {
    if (server.taken == server.len) {
        ssize_t len = recv(server.socket, server.bytes, sizeof server.bytes, 0);
        bool is_empty = len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
        if (len <= 0) {
            server.has_ended = !is_empty || server.cannot_write;
            if (!is_empty && !server.cannot_write) server.error = len < 0 ? errno : 0;
            return false;
        }
        server.taken = 0;
        server.len = (size_t)len;
    }
    size_t taken = 0;
    const uint8_t *rest = server.bytes + server.taken;
    hw_client_feed(client, now_ms(), rest, server.len - server.taken, &taken);
    server.taken += taken;
    return true;
}

/* Writes what waits. Says whether the socket took any. */
static bool transmit(void) {
    const uint8_t *bytes;
    size_t len;
    if (server.cannot_write || hw_client_output(client, &bytes, &len) != HW_OK) return false;
    ssize_t written = send(server.socket, bytes, len, 0);
    if (written < 0) {
        /* What has come is read before anybody draws conclusions: perhaps it is a BYE. */
        server.cannot_write = errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
        server.error = server.cannot_write ? errno : 0;
        return false;
    }
    hw_client_written(client, now_ms(), (size_t)written);
    return true;
}

/* Waits for the server, for input, for the reader of the output, or for `deadline`. */
static void wait_and_read(uint64_t deadline, bool must_write) {
    bool may_read = server.taken == server.len && !server.cannot_write;
    short events = (short)((may_read ? POLLIN : 0) | (must_write ? POLLOUT : 0));
    bool may_type = !input.has_ended && input.len < sizeof input.bytes;
    struct pollfd ready[4] = {
        {is_stopped ? -1 : stop_pipe[0], POLLIN, 0},
        {events && !server.cannot_write ? server.socket : -1, events, 0},
        {may_type ? STDIN_FILENO : -1, POLLIN, 0},
        {output.printed < output.len ? STDOUT_FILENO : -1, POLLOUT, 0},
    };
    wait_for(ready, 4, deadline);
    if (ready[0].revents) is_stopped = true;
    if (ready[1].revents & ~POLLOUT && may_read) receive();
    if (ready[2].revents) {
        ssize_t len = read(STDIN_FILENO, input.bytes + input.len, sizeof input.bytes - input.len);
        if (len > 0) input.len += (size_t)len;
        else input.has_ended = len == 0 || errno != EINTR;
    }
}

/* One connection, until it ends. */
static void talk(void) {
    while (!server.has_ended) {
        bool has_room = take_events();
        if (has_room && (server.taken < server.len || server.cannot_write)) {
            receive();
            continue;
        }
        send_lines();
        if (is_stopped) hw_client_close(client, now_ms());
        switch (hw_client_poll(client, now_ms())) {
        case HW_STEP_READ: {
            bool more = receive();
            take_events();
            if (!server.has_ended) hw_client_read_done(client, now_ms(), more);
            break;
        }
        case HW_STEP_WRITE:
            /* Nothing is left to wait for, but room, if the connection takes no more. */
            if (!transmit() && !(server.cannot_write && has_room)) {
                wait_and_read(hw_client_deadline(client), true);
            }
            break;
        case HW_STEP_SLEEP:
            wait_and_read(hw_client_deadline(client), false);
            break;
        case HW_STEP_CLOSE:
        case HW_STEP_IDLE:
            return;
        }
    }
}

static void set(int level, int option, int value) {
    setsockopt(server.socket, level, option, &value, sizeof value);
}

/* Makes a socket and connects it, which takes until `deadline` at most. */
static bool dial_to(const struct addrinfo *to, uint64_t deadline) {
    server.socket = socket(to->ai_family, to->ai_socktype, to->ai_protocol);
    server.error = server.socket < 0 ? errno : 0;
    if (server.error) return false;
    fcntl(server.socket, F_SETFL, O_NONBLOCK);
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    if (options.keepalive[0]) {
        set(IPPROTO_TCP, TCP_KEEPIDLE, options.keepalive[0]);
        set(IPPROTO_TCP, TCP_KEEPINTVL, options.keepalive[1]);
        set(IPPROTO_TCP, TCP_KEEPCNT, options.keepalive[2]);
        set(SOL_SOCKET, SO_KEEPALIVE, 1);
    }
    if (options.user_timeout_ms) set(IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms);
    if (connect(server.socket, to->ai_addr, to->ai_addrlen) != 0) server.error = errno;
    if (server.error == EINPROGRESS) {
        struct pollfd ready[2] = {{server.socket, POLLOUT, 0}, {stop_pipe[0], POLLIN, 0}};
        socklen_t len = sizeof server.error;
        wait_for(ready, 2, deadline);
        server.error = ETIMEDOUT;
        if (ready[0].revents) getsockopt(server.socket, SOL_SOCKET, SO_ERROR, &server.error, &len);
    }
    if (server.error == 0) return true;
    close(server.socket);
    server.socket = -1;
    return false;
}

static bool dial(void) {
    struct addrinfo hints, *addresses, *to;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    memset(&server, 0, sizeof server);
    server.socket = -1;
    int failed = getaddrinfo(options.host, options.port, &hints, &addresses);
    for (to = failed ? NULL : addresses; to; to = to->ai_next) {
        if (dial_to(to, now_ms() + DIAL_MS)) break;
    }
    if (!failed) freeaddrinfo(addresses);
    if (!to) report_failed(failed ? gai_strerror(failed) : strerror(server.error), true, "");
    return to != NULL;
}

/* After a verdict with a reset, so that a server that lives after all learns of it. Otherwise
   gently, so that it gets what was written. */
static void hang_up(void) {
    struct linger reset = {1, 0};
    if (server.end == HW_EVENT_DEAD || server.end == HW_EVENT_BROKEN) {
        setsockopt(server.socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    } else if (shutdown(server.socket, SHUT_WR) == 0) {
        struct pollfd ready = {server.socket, POLLIN, 0};
        uint64_t until = now_ms() + CLOSE_MS;
        do wait_for(&ready, 1, until);
        while (ready.revents && now_ms() < until
               && recv(server.socket, server.bytes, sizeof server.bytes, 0) > 0);
    }
    close(server.socket);
    server.socket = -1;
}

static void stop(int signal) {
    int error = errno;
    (void)signal;
    if (write(stop_pipe[1], "", 1) < 0) errno = error;
}

int main(int argc, char **argv) {
    struct sigaction on_stop, ignored;
    memset(&on_stop, 0, sizeof on_stop);
    ignored = on_stop;
    on_stop.sa_handler = stop;
    ignored.sa_handler = SIG_IGN;

    hw_config_default(&config);
    config.rx = rx, config.rx_len = sizeof rx;
    config.tx = tx, config.tx_len = sizeof tx;
    parse(argc, argv);
    hw_status status = hw_client_init(&memory, sizeof memory, &config);
    if (status != HW_OK || pipe(stop_pipe) != 0) {
        fprintf(stderr, "posix: %s\n", hw_status_text(status));
        return 2;
    }
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    sigaction(SIGPIPE, &ignored, NULL);

    server.socket = -1;
    for (unsigned attempt = 1; !is_stopped; attempt++) {
        uint64_t wait = hw_client_retry_ms(client, now_ms()), until = now_ms() + wait;
        if (wait == HW_NEVER || (options.once && attempt > 1)) break;
        if (wait > 0) report_waiting(wait, attempt);
        while (!is_stopped && now_ms() < until) wait_and_read(until, false);
        if (is_stopped) break;

        report("connecting", ",\"attempt\":%u", attempt);
        bool is_connected = dial();
        if (is_connected) {
            hw_client_connected(client, now_ms());
            report_connected(server.socket, config.protocol);
            talk();
        }
        hw_client_disconnected(client, now_ms());
        take_events();
        if (is_connected) hang_up();
        while (!take_events()) wait_and_read(HW_NEVER, false); /* a slow reader of the output */
    }
    report("closed", "");
    return is_stopped ? 0 : server.is_dead ? 5 : 4;
}
