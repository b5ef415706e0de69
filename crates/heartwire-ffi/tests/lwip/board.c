/* A board for examples/lwip.c, made of Debian's liblwip and a tap device (tap.c). That library is
   built for threads; nothing of it starts one as long as tcpip_init() is not called, so all of it
   runs in the example's loop, as on a bare board.

   Settings come from the environment. SIGUSR1 makes the application busy, SIGUSR2 ends that. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lwip/init.h"
#include "netif/ethernet.h"

#include "board.h"
#include "tap.h"

static int tap;
static volatile sig_atomic_t is_busy;

static uint32_t number(const char *name) { return (uint32_t)strtoul(setting(name), NULL, 10); }

static void on_signal(int signal) { is_busy = signal == SIGUSR1; }

const struct settings *board_start(void) {
    static struct settings settings;
    static const char *protocols[] = {"v1", "v0", "raw"};
    struct sigaction busy = {.sa_handler = on_signal};
    int i;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGUSR1, &busy, NULL);
    sigaction(SIGUSR2, &busy, NULL);

    srand((unsigned)getpid());
    lwip_init();
    tap = tap_start(ethernet_input);
    if (!ipaddr_aton(setting("SERVER"), &settings.server)) fail("SERVER");
    settings.port = (u16_t)number("PORT");
    for (i = 0; i < 3; i++) {
        if (strcmp(setting("PROTOCOL"), protocols[i]) == 0) settings.protocol = (hw_protocol)i;
    }
    settings.interval_ms = number("INTERVAL");
    settings.timeout_ms = number("TIMEOUT");
    settings.keepalive_ms = number("KEEPALIVE");
    settings.name = "lwip";
    settings.seed = (uint64_t)getpid();
    return &settings;
}

void board_receive(void) { tap_receive(); }

int board_takes_data(void) { return !is_busy; }

void board_sleep(uint32_t ms) {
    struct pollfd wait = {.fd = tap, .events = POLLIN};
    poll(&wait, 1, ms < 60000 ? (int)ms : 60000);
}
