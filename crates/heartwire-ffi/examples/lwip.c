/* A client on lwIP's raw API, in one loop without an operating system. It says "hello", prints
   what comes from its server, and connects again whenever the connection is lost. With raw bytes
   it is the tutorial's client on kernel keepalive: it sends back what came, in upper case.

   board.h has what a board must provide. Where lwIP runs in a thread of its own (NO_SYS is 0),
   all of this belongs into that thread: lwIP calls the functions below from there. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"

#include "board.h"
#include "heartwire.h"

/* How long an attempt to connect may take. lwIP itself would try for minutes. */
#define CONNECT_TIMEOUT_MS 10000

/* When to try again, if lwIP has no memory for a write and nothing else wakes this loop. */
#define WRITE_AGAIN_MS 50

/* Printed as unsigned long, because the printf of many boards has no 64 bits. */
#define LOG(...) LWIP_PLATFORM_DIAG((__VA_ARGS__))
#define UL(number) ((unsigned long)(number))

enum state { WAITING, CONNECTING, CONNECTED };

struct client {
    const struct settings *settings;
    enum state state;
    uint64_t until;      /* when connecting has taken too long */
    struct tcp_pcb *pcb; /* null while waiting, and once lwIP has ended the connection */
    struct pbuf *unread; /* what came, and hw_client_feed had no room for */
    bool has_ended;      /* the server, or lwIP, has ended the connection: nothing more comes */
    bool is_dead;        /* there was a verdict: nothing more arrives there */
    bool has_greeted;
    hw_clock clock;
    hw_client *hw;
    hw_client_memory memory;
    uint8_t rx[HW_MIN_RX];
    uint8_t tx[HW_MIN_RX + HW_MIN_TX]; /* an answer as long as what came, and heartbeats */
};

/* sys_now() starts again at 0 after 49 days, this does not. */
static uint64_t now(struct client *c) { return hw_clock_extend(&c->clock, sys_now()); }

static uint32_t clamp(uint64_t ms) { return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX; }

static uint32_t time_until(struct client *c, uint64_t when) {
    uint64_t time = now(c);
    return when > time ? clamp(when - time) : 0;
}

/* ---- What this device does ---- */

/* In pieces, because many a stack is small. can_take has seen to it that all of them have room. */
static void answer(struct client *c, const uint8_t *bytes, size_t len) {
    uint8_t piece[32];
    size_t at, i, n;
    for (at = 0; at < len; at += n) {
        n = LWIP_MIN(len - at, sizeof piece);
        for (i = 0; i < n; i++) piece[i] = (uint8_t)toupper(bytes[at + i]);
        hw_client_send(c->hw, now(c), piece, n);
    }
}

static void received(struct client *c, const uint8_t *bytes, size_t len) {
    if (c->settings->protocol == HW_PROTOCOL_RAW) {
        answer(c, bytes, len);
    } else {
        LOG("data %.*s\n", (int)len, (const char *)bytes);
    }
}

static void on_event(struct client *c, const hw_event *event) {
    switch (event->kind) {
    case HW_EVENT_WELCOME:
        LOG("welcome session=%lu\n", UL(event->of.welcome.session));
        break;
    case HW_EVENT_DATA:
        received(c, event->of.data.ptr, event->of.data.len);
        break;
    case HW_EVENT_DEAD:
        c->is_dead = true;
        LOG("dead silence_ms=%lu earliest_ms=%lu latest_ms=%lu paused_ms=%lu late_ms=%lu\n",
            UL(event->of.dead.silence_ms), UL(event->of.dead.earliest_ms),
            UL(event->of.dead.latest_ms), UL(event->of.dead.paused_ms), UL(event->of.dead.late_ms));
        break;
    case HW_EVENT_BYE:
        LOG("bye %s: %.*s\n", hw_bye_text(event->of.bye.code), (int)event->of.bye.detail_len,
            event->of.bye.detail);
        break;
    case HW_EVENT_BROKEN:
        LOG("broken %s\n", hw_violation_text(event->of.broken.code));
        break;
    case HW_EVENT_CLOSED:
        LOG("closed\n");
        break;
    default: /* heartbeats, and the server's promises */
        break;
    }
}

/* Whether the application can take the next event. Raw bytes wait until their answer has room. */
static bool can_take(struct client *c) {
    bool has_room = c->settings->protocol != HW_PROTOCOL_RAW ||
                    hw_client_send_room(c->hw) >= sizeof c->rx || c->state != CONNECTED;
    return has_room && board_takes_data();
}

/* ---- Between lwIP and the client ---- */

/* Feeds what came. Only what was taken is acknowledged to lwIP: so the window that the server may
   fill shrinks while this device is busy, and the rest waits at the server. */
static void feed(struct client *c) {
    while (c->unread != NULL) {
        size_t len = c->unread->len, taken = 0;
        if (len == 0) { /* such are left of a segment that came twice in part */
            struct pbuf *empty = c->unread;
            c->unread = empty->next;
            empty->next = NULL;
            pbuf_free(empty);
            continue;
        }
        hw_client_feed(c->hw, now(c), c->unread->payload, len, &taken);
        if (taken > 0) {
            c->unread = pbuf_free_header(c->unread, (u16_t)taken);
            if (c->pcb != NULL) tcp_recved(c->pcb, (u16_t)taken);
        }
        if (taken < len) break;
    }
}

/* Takes the events, which makes room for more bytes. */
static void take_events(struct client *c) {
    hw_event event;
    feed(c);
    while (can_take(c) && hw_client_event(c->hw, now(c), &event) == HW_OK &&
           event.kind != HW_EVENT_NONE) {
        on_event(c, &event);
        feed(c);
    }
}

/* Hands to lwIP what it has room for; the rest stays where a newer heartbeat replaces an older.
   Returns whether anything was taken. */
static bool write_out(struct client *c) {
    const uint8_t *bytes;
    size_t len, room;
    bool has_written = false;
    while (c->pcb != NULL && hw_client_output(c->hw, &bytes, &len) == HW_OK && len > 0) {
        room = tcp_sndbuf(c->pcb);
        if (len > room) len = room;
        if (len == 0 || tcp_write(c->pcb, bytes, (u16_t)len, TCP_WRITE_FLAG_COPY) != ERR_OK) break;
        hw_client_written(c->hw, now(c), len);
        has_written = true;
    }
    if (c->pcb != NULL) tcp_output(c->pcb);
    return has_written;
}

/* lwIP calls these. They decide nothing and close nothing: a connection that is aborted in one of
   its own callbacks is a classic crash. */

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *bytes, err_t error) {
    struct client *c = arg;
    (void)pcb;
    (void)error;
    if (bytes == NULL) { /* the server has closed its side */
        c->has_ended = true;
        return ERR_OK;
    }
    if (c->unread == NULL) {
        c->unread = bytes;
    } else if (c->unread->tot_len > UINT16_MAX - bytes->tot_len) {
        return ERR_MEM; /* with a window above 64 KiB: lwIP keeps it, and offers it again */
    } else {
        pbuf_cat(c->unread, bytes);
    }
    feed(c); /* now: this is when it came */
    return ERR_OK;
}

/* lwIP has given up or got a reset, and has freed the pcb. */
static void on_error(void *arg, err_t error) {
    struct client *c = arg;
    (void)error;
    c->pcb = NULL;
    c->has_ended = true;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error) {
    struct client *c = arg;
    (void)pcb;
    (void)error;
    c->state = CONNECTED;
    hw_client_connected(c->hw, now(c));
    return ERR_OK;
}

/* ---- A connection, from its beginning to its end ---- */

/* lwIP's keepalive counts in steps of 500 ms, and goes on while bytes are unacknowledged. Linux's
   does not, which is why there is a user timeout as well in hw_keepalive; lwIP has none. */
static void set_keepalive(struct tcp_pcb *pcb, uint32_t timeout_ms) {
    hw_keepalive keepalive;
    if (hw_keepalive_fit(timeout_ms, &keepalive) != HW_OK) return;
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = keepalive.idle_s * 1000;
#if LWIP_TCP_KEEPALIVE
    pcb->keep_intvl = keepalive.interval_s * 1000;
    pcb->keep_cnt = keepalive.count;
#else
#error "Without LWIP_TCP_KEEPALIVE lwIP sends nine probes, 75 s apart."
#endif
}

static void hang_up(struct client *c) {
    take_events(c);
    if (c->pcb != NULL) {
        tcp_arg(c->pcb, NULL);
        tcp_err(c->pcb, NULL);
        tcp_recv(c->pcb, NULL);
        /* A reset, so that a server that lives after all learns of the verdict. And to one that is
           dead, lwIP would repeat bytes for minutes, and keep their memory. */
        if (c->is_dead || c->state == CONNECTING || tcp_close(c->pcb) != ERR_OK) tcp_abort(c->pcb);
        c->pcb = NULL;
    }
    if (c->unread != NULL) pbuf_free(c->unread);
    c->unread = NULL;
    c->state = WAITING;
    hw_client_disconnected(c->hw, now(c));
    if (hw_client_retry_ms(c->hw, now(c)) == HW_NEVER) LOG("the server refuses this device\n");
}

static void dial(struct client *c) {
    c->state = CONNECTING;
    c->until = now(c) + CONNECT_TIMEOUT_MS;
    c->has_ended = c->is_dead = c->has_greeted = false;
    c->pcb = tcp_new();
    if (c->pcb == NULL) {
        c->has_ended = true;
        return;
    }
    tcp_arg(c->pcb, c);
    tcp_err(c->pcb, on_error);
    tcp_recv(c->pcb, on_recv);
    tcp_nagle_disable(c->pcb); /* a heartbeat does not wait for the acknowledgement of the last */
    if (c->settings->keepalive_ms != 0) set_keepalive(c->pcb, c->settings->keepalive_ms);
    if (tcp_connect(c->pcb, &c->settings->server, c->settings->port, on_connected) != ERR_OK) {
        c->has_ended = true; /* without a route, say */
    }
}

/* Everything that is due on a connection; then for how long nothing is. */
static uint32_t serve(struct client *c) {
    uint32_t ms;
    for (;;) {
        if (!c->has_greeted && c->settings->protocol != HW_PROTOCOL_RAW) {
            /* On protocol v1 only a client that was welcomed can send. */
            c->has_greeted = hw_client_send(c->hw, now(c), (const uint8_t *)"hello", 5) == HW_OK;
        }
        take_events(c);
        if (c->has_ended && c->unread == NULL) {
            hang_up(c);
            return 0;
        }
        switch (hw_client_poll(c->hw, now(c))) {
        case HW_STEP_READ:
            /* Before a verdict: what has come meanwhile shows that the server is alive. */
            board_receive();
            take_events(c);
            hw_client_read_done(c->hw, now(c), c->unread != NULL);
            break;
        case HW_STEP_CLOSE:
            hang_up(c);
            return 0;
        case HW_STEP_WRITE:
            if (write_out(c)) break;
            ms = time_until(c, hw_client_deadline(c->hw));
            return LWIP_MIN(ms, WRITE_AGAIN_MS);
        default:
            return time_until(c, hw_client_deadline(c->hw));
        }
    }
}

/* Everything that is due; then for how long nothing is. */
static uint32_t turn(struct client *c) {
    uint64_t wait;
    switch (c->state) {
    case CONNECTED:
        return serve(c);
    case CONNECTING:
        if (!c->has_ended && now(c) < c->until) return time_until(c, c->until);
        hang_up(c);
        return 0;
    default:
        take_events(c); /* how the connection ended */
        wait = hw_client_retry_ms(c->hw, now(c));
        if (wait > 0) return clamp(wait);
        dial(c);
        return 0;
    }
}

int main(void) {
    static struct client client; /* too large for many a stack */
    struct client *c = &client;
    hw_config config;

    c->settings = board_start();
    hw_config_default(&config);
    config.protocol = c->settings->protocol;
    config.interval_ms = c->settings->interval_ms;
    config.timeout_ms = c->settings->timeout_ms;
    if (config.protocol == HW_PROTOCOL_V1) { /* the others have no names */
        config.name = c->settings->name;
        config.name_len = strlen(c->settings->name);
    }
    config.seed = c->settings->seed;
    config.rx = c->rx;
    config.rx_len = sizeof c->rx;
    config.tx = c->tx;
    config.tx_len = sizeof c->tx;
    if (hw_client_init(&c->memory, sizeof c->memory, &config) != HW_OK) return 2;
    c->hw = (hw_client *)&c->memory;

    for (;;) {
        uint32_t ms;
        board_receive();
        sys_check_timeouts(); /* lwIP's own timers */
        ms = turn(c);
        board_sleep(LWIP_MIN(ms, sys_timeouts_sleeptime()));
    }
}
