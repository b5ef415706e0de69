/* Starts lwIP in a thread of its own before main, so that a program can use its sockets. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lwip/sys.h"
#include "lwip/tcpip.h"

#include "tap.h"

static int tap;

static void *receive(void *argument) {
    struct pollfd wait = {.fd = tap, .events = POLLIN};
    for (;;) {
        poll(&wait, 1, -1);
        tap_receive();
    }
    return argument;
}

static void start(void *is_started) {
    tap = tap_start(tcpip_input);
    sys_sem_signal(is_started);
}

__attribute__((constructor)) static void begin(void) {
    sys_sem_t is_started;
    pthread_t receiver;
    srand((unsigned)getpid());
    if (sys_sem_new(&is_started, 0) != ERR_OK) fail("sys_sem_new");
    tcpip_init(start, &is_started);
    sys_arch_sem_wait(&is_started, 0);
    if (pthread_create(&receiver, NULL, receive, NULL) != 0) fail("pthread_create");
}
