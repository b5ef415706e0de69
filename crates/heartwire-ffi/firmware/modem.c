/*
 * A client of `heartwire serve` on a microcontroller, over a serial line with a modem on it that
 * connects by itself, as QEMU's does:
 *
 *     qemu-system-arm -M mps2-an386 -display none -monitor none -kernel modem.elf \
 *         -chardev socket,id=modem,host=127.0.0.1,port=7007,reconnect=1 \
 *         -serial chardev:modem -serial stdio
 *
 * Such a line does not say when a connection begins or ends, and cannot end one. So this begins
 * without asking. When a connection has ended for the library, it waits as long as that says, throws
 * away what still comes, and begins again. The modem may be on the old connection still: then the
 * server refuses a second HELLO there and closes it, and what the server sent before that is no
 * answer to a HELLO. Either ends the attempt, and the next one comes on a new connection.
 *
 * Interrupts only queue bytes (board.c); the library is called from here alone.
 */
#include "board.h"
#include "heartwire.h"

#define INTERVAL_MS 1000
#define TIMEOUT_MS 4000
#define HANDSHAKE_MS 3000

static hw_client_memory memory;
static hw_client *const client = (hw_client *)&memory;
static uint8_t rx[HW_MIN_RX], tx[512];
static hw_clock ticks;

static uint64_t clock_ms(void) { return hw_clock_extend(&ticks, board_ticks_ms()); }

/* What happens, as lines of JSON. */

static void number(const char *name, uint64_t value)
{
    console_text(",\"");
    console_text(name);
    console_text("\":");
    console_number(value);
}

static void text(const char *name, const uint8_t *bytes, size_t len)
{
    size_t i;

    console_text(",\"");
    console_text(name);
    console_text("\":\"");
    for (i = 0; i < len; i++) {
        const bool is_plain = bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '"' && bytes[i] != '\\';
        console_bytes(is_plain ? bytes + i : (const uint8_t *)".", 1);
    }
    console_text("\"");
}

static void begin(const char *event, uint64_t now_ms)
{
    console_text("{\"event\":\"");
    console_text(event);
    console_text("\"");
    number("at_ms", now_ms);
}

static void end(void)
{
    number("stack_bytes", board_stack_used());
    console_text("}\n");
}

static void welcomed(const hw_welcome *welcome, uint64_t now_ms)
{
    static const char hello[] = "hello from the board";

    begin("online", now_ms);
    number("session", welcome->session);
    number("interval_ms", welcome->to_server.interval_ms);
    number("peer_interval_ms", welcome->to_client.interval_ms);
    number("timeout_ms", welcome->to_client.timeout_ms);
    end();
    hw_client_send(client, now_ms, (const uint8_t *)hello, sizeof hello - 1);
}

static void found_dead(const hw_verdict *dead, uint64_t now_ms)
{
    begin("verdict", now_ms);
    number("silence_ms", dead->silence_ms);
    number("earliest_ms", dead->earliest_ms);
    number("latest_ms", dead->latest_ms);
    number("paused_ms", dead->paused_ms);
    number("late_ms", dead->late_ms);
    end();
}

static void take_events(uint64_t now_ms)
{
    hw_event event;

    while (hw_client_event(client, now_ms, &event) == HW_OK) {
        switch (event.kind) {
        case HW_EVENT_NONE:
            return;
        case HW_EVENT_WELCOME:
            welcomed(&event.of.welcome, now_ms);
            break;
        case HW_EVENT_BEAT:
            begin("beat", now_ms);
            end();
            break;
        case HW_EVENT_PROMISE:
            begin("promise", now_ms);
            number("interval_ms", event.of.promise_ms);
            end();
            break;
        case HW_EVENT_DATA:
            begin("data", now_ms);
            text("text", event.of.data.ptr, event.of.data.len);
            end();
            break;
        case HW_EVENT_BYE:
            begin("bye", now_ms);
            number("code", event.of.bye.code);
            number("retry", event.of.bye.retry);
            text("detail", (const uint8_t *)event.of.bye.detail, event.of.bye.detail_len);
            end();
            break;
        case HW_EVENT_DEAD:
            found_dead(&event.of.dead, now_ms);
            break;
        case HW_EVENT_BROKEN:
            begin("broken", now_ms);
            number("code", event.of.broken.code);
            end();
            break;
        default:
            begin("other", now_ms);
            number("kind", event.kind);
            end();
            break;
        }
    }
}

/* What the modem has received and the library has not taken. */
static struct {
    uint8_t bytes[64];
    size_t at, len;
} held;

/* Feeds the library what the modem has received; returns how many bytes it took. */
static size_t read_modem(void)
{
    size_t taken, all = 0;
    uint64_t now_ms;

    do {
        if (held.at == held.len) {
            held.at = 0;
            held.len = modem_read(held.bytes, sizeof held.bytes);
        }
        /* Read anew, and behind the bytes: one must not seem to be older than it is. */
        now_ms = clock_ms();
        taken = 0;
        hw_client_feed(client, now_ms, held.bytes + held.at, held.len - held.at, &taken);
        held.at += taken;
        all += taken;
        take_events(now_ms);
    } while (taken > 0);
    return all;
}

static void drop_what_comes(void)
{
    do {
        held.at = 0;
        held.len = modem_read(held.bytes, sizeof held.bytes);
    } while (held.len > 0);
}

static void write_modem(uint64_t now_ms)
{
    const uint8_t *bytes;
    size_t len;

    if (hw_client_output(client, &bytes, &len) == HW_OK)
        hw_client_written(client, now_ms, modem_write(bytes, len));
}

static void sleep_until(uint64_t deadline_ms)
{
    const uint64_t now_ms = clock_ms();

    /* The library is asked again every minute, whatever it says: that keeps `ticks` going. */
    if (deadline_ms > now_ms)
        board_sleep(deadline_ms - now_ms > 60000 ? 60000 : (uint32_t)(deadline_ms - now_ms));
}

static hw_status start(void)
{
    static const char name[] = "board", agent[] = "mps2-an386";
    hw_config config;

    hw_config_default(&config);
    config.interval_ms = INTERVAL_MS;
    config.timeout_ms = TIMEOUT_MS;
    config.handshake_timeout_ms = HANDSHAKE_MS;
    config.name = name;
    config.name_len = sizeof name - 1;
    config.agent = agent;
    config.agent_len = sizeof agent - 1;
    config.rx = rx;
    config.rx_len = sizeof rx;
    config.tx = tx;
    config.tx_len = sizeof tx;
    /* This board has no random numbers. Where there are some, or a number of the device, use them. */
    config.seed = 0x5eed;
    config.first_wait_ms = 200;
    config.max_wait_ms = 2000;
    return hw_client_init(&memory, sizeof memory, &config);
}

int main(void)
{
    uint64_t now_ms, wait_ms;

    board_stack_paint();
    if (start() != HW_OK)
        return 1;
    for (;;) {
        now_ms = clock_ms();
        switch (hw_client_poll(client, now_ms)) {
        case HW_STEP_IDLE:
            drop_what_comes();
            wait_ms = hw_client_retry_ms(client, now_ms);
            if (wait_ms == 0) {
                begin("connecting", now_ms);
                end();
                hw_client_connected(client, now_ms);
            } else {
                sleep_until(wait_ms == HW_NEVER ? HW_NEVER : now_ms + wait_ms);
            }
            break;
        case HW_STEP_READ:
            read_modem();
            hw_client_read_done(client, clock_ms(), held.at < held.len);
            break;
        case HW_STEP_WRITE:
            write_modem(now_ms);
            /* The modem may take no more now: then wait for it as for the rest. */
            if (hw_client_poll(client, now_ms) != HW_STEP_WRITE)
                break;
            /* fall through */
        case HW_STEP_SLEEP:
            if (read_modem() == 0)
                sleep_until(hw_client_deadline(client));
            break;
        case HW_STEP_CLOSE:
            take_events(now_ms);
            hw_client_disconnected(client, now_ms);
            break;
        }
    }
}
