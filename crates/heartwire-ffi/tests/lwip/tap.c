/* See tap.h. */
#define _GNU_SOURCE /* for the headers of Linux */

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "lwip/etharp.h"
#include "lwip/sys.h"
#include "netif/ethernet.h"

#define MTU 1500

static struct netif interface;
static int tap = -1;

/* lwIP's clock: it begins three seconds before its 32 bits end. */
u32_t sys_now(void) {
    static uint64_t first;
    struct timespec t;
    uint64_t ms;
    clock_gettime(CLOCK_MONOTONIC, &t);
    ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    if (first == 0) first = ms;
    return (u32_t)(UINT32_MAX - 3000 + (ms - first));
}

void fail(const char *what) {
    perror(what);
    exit(2);
}

const char *setting(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        exit(2);
    }
    return value;
}

static err_t transmit(struct netif *netif, struct pbuf *frame) {
    uint8_t bytes[MTU + SIZEOF_ETH_HDR];
    u16_t len = pbuf_copy_partial(frame, bytes, sizeof bytes, 0);
    (void)netif;
    /* What a device that is down does not take is lost, as on a cable. */
    if (write(tap, bytes, len) < 0 && errno != EIO && errno != EAGAIN) fail("tap");
    return ERR_OK;
}

static err_t start_interface(struct netif *netif) {
    static const uint8_t address[] = {2, 0, 0, 0, 0, 1};
    memcpy(netif->hwaddr, address, sizeof address);
    netif->hwaddr_len = sizeof address;
    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->mtu = MTU;
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->flags =
        NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void address_of(const char *name, ip4_addr_t *address) {
    if (!ip4addr_aton(setting(name), address)) {
        fprintf(stderr, "%s is no address\n", name);
        exit(2);
    }
}

int tap_start(netif_input_fn input) {
    struct ifreq request = {0};
    ip4_addr_t device, server, mask;
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tap < 0) fail("/dev/net/tun");
    strncpy(request.ifr_name, setting("TAP"), IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(tap, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
    address_of("DEVICE", &device);
    address_of("SERVER", &server);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    netif_add(&interface, &device, &mask, &server, NULL, start_interface, input);
    netif_set_default(&interface);
    netif_set_up(&interface);
    return tap;
}

void tap_receive(void) {
    uint8_t bytes[MTU + SIZEOF_ETH_HDR];
    ssize_t len;
    while ((len = read(tap, bytes, sizeof bytes)) > 0) {
        /* Not from the pool, as a driver of a bare board does: the buffers of the pool of Debian's
           2.1.3 are shorter than pbuf_alloc takes them to be. */
        struct pbuf *frame = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
        /* As lwIP leaves one of a segment that came twice in part. */
        struct pbuf *empty = pbuf_alloc(PBUF_RAW, 0, PBUF_RAM);
        if (frame == NULL || empty == NULL) fail("pbuf_alloc");
        pbuf_take(frame, bytes, (u16_t)len);
        pbuf_cat(frame, empty);
        if (interface.input(frame, &interface) != ERR_OK) pbuf_free(frame);
    }
}
