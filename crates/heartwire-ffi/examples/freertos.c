/* A client as a FreeRTOS task, over the five functions of net.h. It sends what other tasks put into
   its queue, hands them what its server sends, and connects again whenever the connection is lost.
   With raw bytes it answers in upper case, as the tutorial's client does.

   Only this task uses the client: another one, or an interrupt (xQueueSendFromISR), puts a message
   into the queue. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "FreeRTOS.h"
#include "queue.h"
#include "task.h"

#include "heartwire.h"
#include "heartwire_task.h"
#include "net.h"

/* How long an attempt to connect may take. */
#define CONNECT_TIMEOUT_MS 10000

/* How long a message can lie in the queue while the task waits for its connection. */
#define LOOK_AGAIN_MS 100

/* How often it reads without looking at what else is due, when very much comes. */
#define READS_AT_ONCE 16

#define UL(number) ((unsigned long)(number)) /* many a printf has no 64 bits */

#if configUSE_16_BIT_TICKS
#error "This needs 32-bit ticks: hw_clock_extend would lose count after a minute of 16-bit ones."
#endif

/* Milliseconds since the start. Extended first and converted then, so that neither the 32 bits of
   the tick counter (49 days at 1 kHz) nor a tick that is no whole number of them matters. */
static uint64_t now(struct heartwire_task *t) {
    return hw_clock_extend(&t->clock, (uint32_t)xTaskGetTickCount()) * 1000 / configTICK_RATE_HZ;
}

/* ---- What this device does ---- */

/* In pieces, because a task's stack is small. can_take has seen to it that all have room. */
static void answer(struct heartwire_task *t, const uint8_t *bytes, size_t len) {
    uint8_t piece[32];
    size_t at, i, n;
    for (at = 0; at < len; at += n) {
        n = len - at < sizeof piece ? len - at : sizeof piece;
        for (i = 0; i < n; i++) piece[i] = (uint8_t)toupper(bytes[at + i]);
        hw_client_send(t->hw, now(t), piece, n);
    }
}

static void on_data(struct heartwire_task *t, const uint8_t *bytes, size_t len) {
    if (t->protocol == HW_PROTOCOL_RAW) {
        answer(t, bytes, len);
    } else {
        t->received(bytes, len);
    }
}

static void on_event(struct heartwire_task *t, const hw_event *event) {
    switch (event->kind) {
    case HW_EVENT_WELCOME:
        printf("welcome session=%lu\n", UL(event->of.welcome.session));
        break;
    case HW_EVENT_DATA:
        on_data(t, event->of.data.ptr, event->of.data.len);
        break;
    case HW_EVENT_DEAD:
        t->is_dead = true;
        printf("dead silence_ms=%lu earliest_ms=%lu latest_ms=%lu paused_ms=%lu late_ms=%lu\n",
               UL(event->of.dead.silence_ms), UL(event->of.dead.earliest_ms),
               UL(event->of.dead.latest_ms), UL(event->of.dead.paused_ms),
               UL(event->of.dead.late_ms));
        break;
    case HW_EVENT_BYE:
        printf("bye %s: %.*s\n", hw_bye_text(event->of.bye.code), (int)event->of.bye.detail_len,
               event->of.bye.detail);
        break;
    case HW_EVENT_BROKEN:
        printf("broken %s\n", hw_violation_text(event->of.broken.code));
        break;
    case HW_EVENT_CLOSED:
        printf("closed\n");
        break;
    default: /* heartbeats, and the server's promises */
        break;
    }
}

/* Messages leave the queue only when there is room for them: until then other tasks see that it is
   full. There is none before a server of protocol v1 has welcomed this client. */
static void send_messages(struct heartwire_task *t) {
    struct message message;
    while (hw_client_send_room(t->hw) >= sizeof message.bytes &&
           xQueueReceive(t->to_server, &message, 0) == pdTRUE) {
        hw_client_send(t->hw, now(t), message.bytes, message.len);
    }
}

/* ---- Between the sockets and the client ---- */

/* Raw bytes wait until their answer has room. */
static bool can_take(struct heartwire_task *t) {
    return t->protocol != HW_PROTOCOL_RAW || t->has_ended ||
           hw_client_send_room(t->hw) >= sizeof t->rx;
}

static void take_events(struct heartwire_task *t) {
    hw_event event;
    while (can_take(t) && hw_client_event(t->hw, now(t), &event) == HW_OK &&
           event.kind != HW_EVENT_NONE) {
        on_event(t, &event);
    }
}

/* Reads what came, and takes the events. What the client has no room for stays in `in`, and the
   rest in the sockets, so that the server has to wait. Returns whether there may be more. */
static bool read_in(struct heartwire_task *t) {
    int i;
    take_events(t);
    for (i = 0; i < READS_AT_ONCE; i++) {
        size_t taken = 0;
        if (t->in_len == 0) {
            int got = t->has_ended ? 0 : net_recv(t->net, t->in, sizeof t->in);
            if (got == NET_ENDED) t->has_ended = true;
            if (got <= 0) return false;
            t->in_at = 0;
            t->in_len = (size_t)got;
        }
        hw_client_feed(t->hw, now(t), t->in + t->in_at, t->in_len, &taken);
        t->in_at += taken;
        t->in_len -= taken;
        take_events(t);
        if (taken == 0) break;
    }
    return true;
}

/* Sends what the sockets take. Returns whether that was anything. */
static bool write_out(struct heartwire_task *t) {
    const uint8_t *bytes;
    size_t len;
    bool has_written = false;
    while (!t->cannot_write && hw_client_output(t->hw, &bytes, &len) == HW_OK && len > 0) {
        int sent = net_send(t->net, bytes, len);
        if (sent == NET_ENDED) t->cannot_write = true; /* a BYE may wait to be read */
        if (sent <= 0) break;
        hw_client_written(t->hw, now(t), (size_t)sent);
        has_written = true;
    }
    return has_written;
}

/* ---- A connection, from its beginning to its end ---- */

/* Waits until something is due. Nothing is read while there is no room for it. */
static void wait(struct heartwire_task *t, int what) {
    uint64_t deadline = hw_client_deadline(t->hw), time = now(t);
    uint64_t ms = deadline > time ? deadline - time : 0;
    if (ms > LOOK_AGAIN_MS) ms = LOOK_AGAIN_MS;
    if (t->in_len == 0) what |= NET_READ;
    net_wait(t->net, what, (uint32_t)ms);
}

static void talk(struct heartwire_task *t) {
    bool has_more;
    t->in_len = 0;
    hw_client_connected(t->hw, now(t));
    for (;;) {
        read_in(t);
        if (t->has_ended && t->in_len == 0) return;
        send_messages(t);
        switch (hw_client_poll(t->hw, now(t))) {
        case HW_STEP_READ:
            /* Before a verdict: what has come meanwhile shows that the server is alive. */
            has_more = read_in(t);
            hw_client_read_done(t->hw, now(t), has_more);
            break;
        case HW_STEP_WRITE:
            if (!write_out(t)) wait(t, t->cannot_write ? 0 : NET_SEND);
            break;
        case HW_STEP_CLOSE:
            take_events(t); /* a verdict among them */
            return;
        default:
            wait(t, 0);
            break;
        }
    }
}

static void start_client(struct heartwire_task *t) {
    hw_config config;
    hw_status status;
    hw_config_default(&config);
    config.protocol = t->protocol;
    config.interval_ms = t->interval_ms;
    config.timeout_ms = t->timeout_ms;
    config.clock_step_ms = (1000 + configTICK_RATE_HZ - 1) / configTICK_RATE_HZ;
    if (t->protocol == HW_PROTOCOL_V1) { /* the others have no names */
        config.name = t->name;
        config.name_len = strlen(t->name);
    }
    config.seed = t->seed;
    config.rx = t->rx;
    config.rx_len = sizeof t->rx;
    config.tx = t->tx;
    config.tx_len = sizeof t->tx;
    status = hw_client_init(&t->memory, sizeof t->memory, &config);
    configASSERT(status == HW_OK);
    (void)status; /* where configASSERT is empty */
    t->hw = (hw_client *)&t->memory;
}

/* Waits until it is time to connect again: in pieces, which pdMS_TO_TICKS can convert, and so that
   no wrap of the ticks goes unnoticed. */
static void wait_to_return(struct heartwire_task *t) {
    uint64_t ms = hw_client_retry_ms(t->hw, now(t));
    t->is_refused = ms == HW_NEVER;
    if (t->is_refused) printf("the server refuses this device\n");
    while (t->is_refused || (ms > 0 && ms != HW_NEVER)) {
        vTaskDelay(pdMS_TO_TICKS((TickType_t)(ms < 1000 ? ms : 1000)) + 1);
        ms = hw_client_retry_ms(t->hw, now(t));
    }
}

void heartwire_task(void *task) {
    struct heartwire_task *t = task;
    start_client(t);
    for (;;) {
        t->has_ended = t->cannot_write = t->is_dead = false;
        t->net = net_connect(t->host, t->port, CONNECT_TIMEOUT_MS);
        if (t->net != NET_ENDED) {
            talk(t);
            net_close(t->net, t->is_dead);
        }
        t->has_ended = true;
        hw_client_disconnected(t->hw, now(t));
        take_events(t);
        wait_to_return(t);
    }
}
