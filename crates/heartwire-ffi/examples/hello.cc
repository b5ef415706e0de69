// A client in C++11: says hello under its name, prints what comes, and answers nothing.
//
// Usage: hello HOST PORT NAME. It does not come back (posix.c does): exit code 5 if the server is
// dead, 4 if the connection is lost or was never made.

#define _POSIX_C_SOURCE 200809L

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "heartwire.hpp"

static uint64_t now_ms() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

static int dial(const char *host, const char *port) {
    struct addrinfo hints = {}, *to;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &to) != 0) return -1;
    int server = socket(to->ai_family, to->ai_socktype, to->ai_protocol);
    if (server >= 0 && connect(server, to->ai_addr, to->ai_addrlen) != 0) {
        close(server);
        server = -1;
    }
    freeaddrinfo(to);
    return server;
}

static heartwire::Client<> client;

// What the application wants to know.
struct Application : heartwire::Visitor {
    bool is_dead = false;

    void on_welcome(const hw_welcome &welcome) override {
        std::printf("online, and the server is dead after %u ms\n", welcome.earliest_ms);
        const uint8_t hello[] = {'h', 'e', 'l', 'l', 'o'};
        client.send(now_ms(), heartwire::Span{hello, sizeof hello});
    }

    void on_data(heartwire::Span data) override {
        std::fwrite(data.data, 1, data.size, stdout);
        std::puts("");
    }

    void on_dead(const hw_verdict &verdict) override {
        std::printf("dead: silent for %u ms\n", verdict.silence_ms);
        is_dead = true;
    }
};

// Reads what is there, without waiting. False: the connection has ended.
static bool read_some(int server, Application &application) {
    uint8_t bytes[512];
    ssize_t len = recv(server, bytes, sizeof bytes, MSG_DONTWAIT);
    heartwire::Span rest = {bytes, len > 0 ? static_cast<size_t>(len) : 0};
    do {
        rest = client.feed(now_ms(), rest);
        client.visit(now_ms(), application);
    } while (rest.size > 0);
    std::fflush(stdout);
    return len > 0 || (len < 0 && (errno == EAGAIN || errno == EINTR));
}

// Writes what the socket takes, without waiting: a write must not delay a verdict.
static bool write_some(int server) {
    heartwire::Span bytes = client.output();
    ssize_t len = send(server, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (len < 0) return errno == EAGAIN || errno == EINTR;
    return client.written(now_ms(), static_cast<size_t>(len)) == HW_OK;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    hw_config config = client.default_config();
    config.name = argv[3];
    config.name_len = std::strlen(argv[3]);
    config.interval_ms = 500;
    config.timeout_ms = 3000;
    config.min_interval_ms = 100;
    if (client.init(config) != HW_OK) return 2;

    int server = dial(argv[1], argv[2]);
    if (server < 0) return 4;
    Application application;
    client.connected(now_ms());
    for (bool is_open = true; is_open;) {
        hw_step step = client.poll(now_ms());
        if (step == HW_STEP_READ) {
            is_open = read_some(server, application);
            if (is_open) client.read_done(now_ms(), false);
        } else if (step == HW_STEP_WRITE || step == HW_STEP_SLEEP) {
            uint64_t now = now_ms(), until = client.deadline();
            struct pollfd ready = {server, POLLIN, 0};
            if (step == HW_STEP_WRITE) ready.events |= POLLOUT;
            poll(&ready, 1, until > now ? static_cast<int>(until - now) : 0);
            if (ready.revents & POLLOUT) is_open = write_some(server);
            if (is_open && ready.revents & ~POLLOUT) is_open = read_some(server, application);
        } else {
            is_open = false;
        }
    }
    client.disconnected(now_ms());
    client.visit(now_ms(), application);
    close(server);
    return application.is_dead ? 5 : 4;
}
