/*
 * What the library costs: the instructions of each call, and the stack below its caller. There is no
 * server: its bytes are in here. For QEMU, which can make 64 ns of each instruction:
 *
 *     qemu-system-arm -M mps2-an386 -display none -monitor none -serial none -serial stdio \
 *         -icount shift=6 -semihosting-config enable=on,target=native -kernel measure.elf
 */
#include "board.h"
#include "heartwire.h"

#define NS_PER_INSTRUCTION 64
#define NS_PER_CYCLE 40

static hw_client_memory memory;
static hw_client *const client = (hw_client *)&memory;
static uint8_t rx[HW_MIN_RX], tx[512];
static uint64_t now_ms = 1000;

/* The WELCOME and its first beat, as in PROTOCOL.md ("Golden frames"). */
#define AGREED                                                                                     \
    0x00, 0x01, 0x01, 0x18, 0x63, 0x02, 0x07, 0x03, 0x19, 0x27, 0x10, 0x04, 0x19, 0x75, 0x30,      \
        0x05, 0x1a, 0x00, 0x36, 0xee, 0x80, 0x06, 0x19, 0x27, 0x10, 0x07, 0x19, 0x75, 0x30, 0x08,  \
        0x1a, 0x00, 0x36, 0xee, 0x80, 0x09, 0x19, 0x03, 0xe8, 0x0a, 0x18, 0xa1, 0x0b, 0x19, 0x01,  \
        0x2c, 0x0c, 0x1a, 0x00, 0x01, 0x00, 0x00
static const uint8_t welcome[] = {3, 0, 0, 0, 53, 0, 0, 0, 0xad, AGREED};
static uint8_t beat[40] = {[4] = 32, [8] = 1, [32] = 0x10, [33] = 0x27};
static const uint8_t data[] = {1, 0, 0, 0, 16, 0, 0, 0, 'a', ' ', 'm', 'e', 's', 's',
    'a', 'g', 'e', ' ', 'o', 'f', ' ', 'b', 'y', '.'};
static const uint8_t bye[] = {4, 0, 0, 0, 5, 0, 0, 0, 0xa2, 0, 1, 1, 1};

#ifndef HW_NO_RESUME
/* Beside that, a session that can be resumed: its key is the bytes from 0 to 31. */
static const uint8_t resumable[] = {3, 0, 0, 0, 112, 0, 0, 0, 0xae, AGREED,
    0x0d, 0xa5, 0, 0x1b, 1, 2, 3, 4, 5, 6, 7, 8,
    1, 0x58, 0x20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    2, 0, 3, 0x19, 1, 0, 4, 0x1a, 0, 1, 0xd4, 0xc0};
/* And the answer on its second link, with the proof. */
static const uint8_t resumed[] = {3, 0, 0, 0, 94, 0, 0, 0, 0xae, AGREED,
    0x0e, 0xa2, 0, 0x82, 0, 0, 1, 0x58, 0x20, 0xe6, 0x41, 0xa7, 0xa3, 0x2d, 0x25,
    0x43, 0x76, 0xf6, 0x01, 0x03, 0x22, 0x33, 0xae, 0xb1, 0x9c, 0xca, 0x5d, 0xc9, 0xa1, 0xf8, 0x69,
    0xe4, 0xfa, 0x95, 0x95, 0x8d, 0xa4, 0xef, 0x69, 0x4e, 0xe6};
#endif

/* Only what differs from nothing is counted. */
static uint32_t empty;

static void report(const char *name, uint32_t cycles, size_t stack)
{
    if (name[0] == 0) {
        empty = cycles;
        return;
    }
    console_text("{\"event\":\"cost\",\"of\":\"");
    console_text(name);
    console_text("\",\"instructions\":");
    console_number((uint64_t)(cycles - empty) * NS_PER_CYCLE / NS_PER_INSTRUCTION);
    console_text(",\"stack_bytes\":");
    console_number(stack);
    console_text("}\n");
}

#define MEASURE(name, call)                                                                        \
    do {                                                                                           \
        uint32_t before, after;                                                                    \
        board_stack_paint();                                                                       \
        before = board_cycles();                                                                   \
        call;                                                                                      \
        after = board_cycles();                                                                    \
        report(name, (after - before) & 0x00FFFFFF, board_stack_used());                           \
    } while (0)

static hw_event event;

static void expect(bool is_so, const char *what)
{
    if (is_so)
        return;
    console_text("{\"event\":\"failed\",\"what\":\"");
    console_text(what);
    console_text("\"}\n");
    board_exit(1);
}

static void expect_event(hw_event_kind kind, const char *what)
{
    hw_client_event(client, now_ms, &event);
    expect(event.kind == kind, what);
}

static void feed(const uint8_t *bytes, size_t len)
{
    size_t taken = 0;

    hw_client_feed(client, now_ms, bytes, len, &taken);
    expect(taken == len, "everything is taken");
}

/* Writes what waits, and returns how much that was. */
static size_t write_all(void)
{
    const uint8_t *bytes;
    size_t len, all = 0;

    while (hw_client_output(client, &bytes, &len) == HW_OK && len > 0) {
        all += len;
        hw_client_written(client, now_ms, len);
    }
    return all;
}

/* Writes the beat that waits; the server's next one answers it. */
static void write_beat(void)
{
    const uint8_t *bytes = 0;
    size_t len = 0, i;

    hw_client_output(client, &bytes, &len);
    expect(len >= sizeof beat && bytes[0] == 0, "a beat waits");
    for (i = 0; i < 8; i++)
        beat[16 + i] = bytes[8 + i];
    beat[8]++;
    write_all();
}

static void init(uint32_t grace_ms)
{
    hw_config config;

    hw_config_default(&config);
    config.name = "board";
    config.name_len = 5;
    config.rx = rx;
    config.rx_len = sizeof rx;
    config.tx = tx;
    config.tx_len = sizeof tx;
    config.seed = 1;
    config.grace_ms = grace_ms;
    MEASURE("init", expect(hw_client_init(&memory, sizeof memory, &config) == HW_OK, "init"));
}

/* A connection: to the WELCOME, and the first beats. */
static void connect(const char *name, const uint8_t *answer, size_t len)
{
    hw_client_retry_ms(client, now_ms);
    MEASURE("connected: makes the HELLO", hw_client_connected(client, now_ms));
    expect(hw_client_poll(client, now_ms) == HW_STEP_WRITE, "the HELLO waits");
    expect(write_all() > 8, "the HELLO is written");
    now_ms += 20;
    MEASURE(name, feed(answer, len));
    MEASURE("event: the WELCOME", expect_event(HW_EVENT_WELCOME, "welcomed"));
    hw_client_poll(client, now_ms);
    write_beat();
}

/* To the next deadline: a read before it is acted upon finds nothing. */
static hw_step pass(void)
{
    hw_step step;

    now_ms = hw_client_deadline(client);
    step = hw_client_poll(client, now_ms);
    if (step == HW_STEP_READ)
        step = hw_client_read_done(client, now_ms, false);
    return step;
}

static void beats_and_data(void)
{
    size_t i;

    MEASURE("feed: a beat", feed(beat, sizeof beat));
    MEASURE("event: a beat", expect_event(HW_EVENT_BEAT, "a beat"));
    MEASURE("event: none", expect_event(HW_EVENT_NONE, "no event"));
    MEASURE("poll: nothing to do", hw_client_poll(client, now_ms));
    MEASURE("deadline", hw_client_deadline(client));
    MEASURE("poll, read_done: a beat is due", expect(pass() == HW_STEP_WRITE, "a beat is due"));
    write_beat();
    MEASURE("feed: a beat that answers", feed(beat, sizeof beat));
    expect_event(HW_EVENT_BEAT, "a beat");
    MEASURE("feed: a message of 16 bytes", feed(data, sizeof data));
    MEASURE("event: a message", expect_event(HW_EVENT_DATA, "a message"));
    expect_event(HW_EVENT_NONE, "no more");
    MEASURE("feed: that message, byte by byte",
        for (i = 0; i < sizeof data; i++) feed(data + i, 1));
    expect_event(HW_EVENT_DATA, "a message");
    expect_event(HW_EVENT_NONE, "no more");
}

int main(void)
{
    MEASURE("", );
    init(0);
    connect("feed: the WELCOME", welcome, sizeof welcome);
    beats_and_data();
    MEASURE("send: 16 bytes", hw_client_send(client, now_ms, data + 8, 16));
    MEASURE("output, written", write_all());
    MEASURE("promise", expect(hw_client_promise(client, 20000, 0) == HW_OK, "promise"));
    /* Beats go out, and none come in. */
    while (pass() == HW_STEP_WRITE)
        write_all();
    expect(hw_client_poll(client, now_ms) == HW_STEP_CLOSE, "dead");
    MEASURE("event: the verdict", expect_event(HW_EVENT_DEAD, "the verdict"));
    MEASURE("disconnected", hw_client_disconnected(client, now_ms));
    MEASURE("retry_ms", now_ms += hw_client_retry_ms(client, now_ms));
    connect("feed: the WELCOME", welcome, sizeof welcome);
    MEASURE("feed: a BYE", feed(bye, sizeof bye));
    MEASURE("event: a BYE", expect_event(HW_EVENT_BYE, "a BYE"));
#ifndef HW_NO_RESUME
    init(120000);
    connect("feed: a WELCOME that can be resumed", resumable, sizeof resumable);
    beats_and_data();
    hw_client_disconnected(client, now_ms);
    now_ms += hw_client_retry_ms(client, now_ms);
    connect("feed: a WELCOME that resumes", resumed, sizeof resumed);
#endif
    return 0;
}
