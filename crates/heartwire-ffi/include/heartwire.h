// Heartwire for C: keeps a TCP connection alive and says, within a stated bound, when it is dead.
//
// The library has no sockets, no clock, no threads, and allocates nothing: you give it memory, the
// bytes that came and the time, and it says what to do next. A whole client:
//
//     static hw_client_memory memory;
//     static uint8_t rx[1032], tx[512];
//
//     hw_config config;
//     hw_config_default(&config);
//     config.name = "pump-7"; config.name_len = 6;
//     config.rx = rx; config.rx_len = sizeof rx;
//     config.tx = tx; config.tx_len = sizeof tx;
//     config.seed = random_number();
//     hw_client *client = (hw_client *)&memory;
//     if (hw_client_init(client, sizeof memory, &config) != HW_OK) return;
//     for (;;) switch (hw_client_poll(client, now_ms())) {
//     case HW_STEP_IDLE:  sleep_ms(hw_client_retry_ms(client, now_ms()));
//                         if (connect_socket()) hw_client_connected(client, now_ms());
//                         else hw_client_disconnected(client, now_ms());
//                         break;
//     case HW_STEP_WRITE: hw_client_output(client, &bytes, &len);
//                         hw_client_written(client, now_ms(), write_socket(bytes, len));
//                         /* fall through, as the socket may take nothing now */
//     case HW_STEP_SLEEP: wait_for_socket_until(hw_client_deadline(client));
//                         read_and_feed(client);   /* hw_client_feed, then hw_client_event */
//                         break;
//     case HW_STEP_READ:  read_and_feed(client);
//                         hw_client_read_done(client, now_ms(), false);
//                         break;
//     case HW_STEP_CLOSE: take_events(client);
//                         close_socket();
//                         hw_client_disconnected(client, now_ms());
//     }
//
// Times are milliseconds on any clock that does not go back; one that does is taken as standing
// still. A client must not be used by two threads or an interrupt at a time: in an interrupt queue
// the bytes and wake the loop. Two clients have nothing in common.


#ifndef HEARTWIRE_H
#define HEARTWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes of a client, besides `rx` and `tx`. A library that was built without sessions that can be
// resumed needs less: define HW_NO_RESUME then. `hw_client_init` checks the size.
#if UINTPTR_MAX > UINT32_MAX
#ifdef HW_NO_RESUME
#define HW_CLIENT_SIZE 592
#else
#define HW_CLIENT_SIZE 832
#endif
#else
#ifdef HW_NO_RESUME
#define HW_CLIENT_SIZE 512
#else
#define HW_CLIENT_SIZE 744
#endif
#endif

// The alignment of a client's memory, in bytes.
#define HW_CLIENT_ALIGN 8

// The least `rx_len`: the longest BYE, with its header and 8 bytes to spare.
#define HW_MIN_RX 528

// The least `tx_len`: a beat, and something to send.
#define HW_MIN_TX 128

// A time that never comes.
#define HW_NEVER UINT64_MAX

// What a call answers. Where it is not `HW_OK`, the call has changed nothing of the client.
enum hw_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Done.
    HW_OK = 0,
    // A pointer is null where it may not be, or a value is out of range.
    HW_ERR_ARGUMENT = -1,
    // The client's memory, `rx` or `tx` is too small or not aligned.
    HW_ERR_SIZE = -2,
    // Not possible now: not initialised, not connected, not welcomed yet, or ended.
    HW_ERR_STATE = -3,
    // `tx` is full: write, then try again.
    HW_ERR_ROOM = -4,
    // Longer than the server, or `tx`, ever takes.
    HW_ERR_TOO_LONG = -5,
    // This protocol does not have it.
    HW_ERR_PROTOCOL = -6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_status hw_status;
#else
typedef int32_t hw_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an event is.
enum hw_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // There is none.
    HW_EVENT_NONE = 0,
    // v1: the server has accepted this client. See `of.welcome`.
    HW_EVENT_WELCOME = 1,
    // The server's beat.
    HW_EVENT_BEAT = 2,
    // v1: the server's beat, which promises the next one within another time than before. See
    // `of.promise_ms`.
    HW_EVENT_PROMISE = 3,
    // A whole message; on `HW_PROTOCOL_RAW` the bytes that came. See `of.data`.
    HW_EVENT_DATA = 4,
    // The server sends no more messages, in a session that can be resumed.
    HW_EVENT_END = 5,
    // The server has ended the connection, and said why. See `of.bye`.
    HW_EVENT_BYE = 6,
    // The server is dead: the verdict. See `of.dead`. Reset the connection (SO_LINGER of 0), so
    // that a server that lives after all learns of it.
    HW_EVENT_DEAD = 7,
    // The server broke the protocol, or took too long for a frame. See `of.broken`.
    HW_EVENT_BROKEN = 8,
    // The connection has ended otherwise: `hw_client_disconnected` was called.
    HW_EVENT_CLOSED = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_event_kind hw_event_kind;
#else
typedef uint32_t hw_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Whether and when the server wants this client back. `hw_client_retry_ms` keeps to it.
enum hw_retry
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Never: it would be refused again.
    HW_RETRY_NEVER = 0,
    // When the client's own wait is over.
    HW_RETRY_AT_WILL = 1,
    // Within a time, see `earliest_ms` and `latest_ms`.
    HW_RETRY_WITHIN = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_retry hw_retry;
#else
typedef uint32_t hw_retry;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What showed that the server is dead.
enum hw_cause
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing came from it for the timeout.
    HW_CAUSE_SILENCE = 0,
    // v1: its beats say that it has not heard this client for so long that the path to it must be
    // cut. The times count from when it last did.
    HW_CAUSE_UNHEARD = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_cause hw_cause;
#else
typedef uint32_t hw_cause;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How the server broke the protocol. The numbers do not change between versions.
enum hw_violation_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    HW_VIOLATION_OTHER = 0,
    HW_VIOLATION_NEGATIVE_LENGTH = 1,
    HW_VIOLATION_TOO_LONG = 2,
    HW_VIOLATION_UNKNOWN_TYPE = 3,
    HW_VIOLATION_BEAT_WITH_BODY = 4,
    HW_VIOLATION_NO_FIRST_FRAME = 5,
    HW_VIOLATION_SLOW_FRAME = 6,
    HW_VIOLATION_UNEXPECTED = 7,
    HW_VIOLATION_BEAT_LENGTH = 8,
    HW_VIOLATION_BAD_WELCOME = 9,
    HW_VIOLATION_BAD_BYE = 10,
    HW_VIOLATION_UNKNOWN_NONCE = 11,
    HW_VIOLATION_PROMISE_TOO_LONG = 12,
    HW_VIOLATION_TOO_FAST = 13,
    HW_VIOLATION_BAD_POSITION = 14,
    HW_VIOLATION_WINDOW = 15,
    HW_VIOLATION_BAD_ACK = 16,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_violation_code hw_violation_code;
#else
typedef uint32_t hw_violation_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What to do next.
enum hw_step
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Wait for bytes from the server, or until `hw_client_deadline`.
    HW_STEP_SLEEP = 0,
    // Write what `hw_client_output` gives, and report it with `hw_client_written`. If the socket
    // takes nothing now, wait as for `HW_STEP_SLEEP`, and for the socket.
    HW_STEP_WRITE = 1,
    // Read the socket now, feed what is there, take the events, and call `hw_client_read_done`: a
    // deadline has passed, and bytes that have arrived count more.
    HW_STEP_READ = 2,
    // Close the connection and call `hw_client_disconnected`. The event of its end can be taken
    // before or after that.
    HW_STEP_CLOSE = 3,
    // There is no connection: wait for `hw_client_retry_ms`, connect, and call
    // `hw_client_connected`.
    HW_STEP_IDLE = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_step hw_step;
#else
typedef uint32_t hw_step;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The health that this client's beats report, v1.
enum hw_health
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // All is well.
    HW_HEALTH_OK = 0,
    // Something does not make progress.
    HW_HEALTH_DEGRADED = 1,
    // About to disconnect.
    HW_HEALTH_DRAINING = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_health hw_health;
#else
typedef uint32_t hw_health;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The protocol that a client speaks.
enum hw_protocol
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Version 1: a handshake, beats that report both directions, BYE.
    HW_PROTOCOL_V1 = 0,
    // Version 0, the tutorial's: 8 bytes before each message, and beats without a body.
    HW_PROTOCOL_V0 = 1,
    // Bytes without anything around them. There are no beats, so only `timeout_ms` counts.
    HW_PROTOCOL_RAW = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hw_protocol hw_protocol;
#else
typedef uint32_t hw_protocol;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A client. It lies in memory that the caller gives, such as an `hw_client_memory`.
typedef struct hw_client hw_client;

// The settings of a client. Fill it with `hw_config_default` first. Times are milliseconds. The
// memory that it points to must stay until the client is used no more.
typedef struct {
    // Default `HW_PROTOCOL_V1`.
    hw_protocol protocol;
    // A beat is sent this often: offered on v1, where the server decides, and in force on v0.
    // Default 10 s; 0: no beats.
    uint32_t interval_ms;
    // The silence after which the server is dead, at least two intervals. Default 30 s; 0: there
    // is no verdict.
    uint32_t timeout_ms;
    // v1: the shortest interval that the server may ask for. 0: 1 s, or `interval_ms` if that is
    // less.
    uint32_t min_interval_ms;
    // v1: the longest timeout that the server may stretch this one to. 0: 1 h, or `timeout_ms` if
    // that is more.
    uint32_t max_timeout_ms;
    // v0: 1: answer each beat with one, and send none unasked. `interval_ms` must be 0 then.
    uint32_t echo;
    // From the connection to the server's first whole header, on v1 to its WELCOME. 0: 10 s on
    // v1, otherwise no limit: such a server may stay silent.
    uint32_t handshake_timeout_ms;
    // From a frame's first byte to its last, and 1 s more per KiB. 0: 30 s.
    uint32_t frame_timeout_ms;
    // How coarse the clock is: the time that is passed was right at most so long ago. 0: 1 ms.
    uint32_t clock_step_ms;
    // How late `hw_client_poll` is called at most, after its deadline; 65,535 at most. 0: 100 ms.
    // Verdicts are never early because of it; they say in their bound that they may be so late.
    uint32_t tick_ms;
    // v1: the client's name, UTF-8, at most 255 bytes; null: it has none.
    const char *name;
    // Bytes of `name`.
    size_t name_len;
    // v1: the token that the server asks for, at most 256 bytes; null: none. It is read at each
    // connection and never shown.
    const uint8_t *token;
    // Bytes of `token`.
    size_t token_len;
    // v1: the client's program for the server's logs, UTF-8, at most 64 bytes; null: none.
    const char *agent;
    // Bytes of `agent`.
    size_t agent_len;
    // Memory for what comes, at least `HW_MIN_RX` bytes. The longest message that the server may
    // send is 8 bytes shorter.
    uint8_t *rx;
    // Bytes of `rx`.
    size_t rx_len;
    // Memory for what waits to be written, at least `HW_MIN_TX` bytes, and on v1 room for the
    // HELLO, which has the name, the token, and at most 180 bytes more, or 300 with `grace_ms`.
    uint8_t *tx;
    // Bytes of `tx`.
    size_t tx_len;
    // A random number, another one for each device and each start. Without one, devices that
    // restart together come back together.
    uint64_t seed;
    // The longest wait before the first new attempt; it doubles with each. 0: 500 ms.
    uint32_t first_wait_ms;
    // The longest wait before any attempt. 0: 30 s.
    uint32_t max_wait_ms;
    // v1: ask for a session that can be resumed, and is kept so long without a connection. The
    // server's messages are then not lost with a connection; in such a session this client sends
    // none. 0: no. Refused with `HW_ERR_PROTOCOL` in a library without it.
    uint32_t grace_ms;
} hw_config;

// What was agreed for one direction, in milliseconds.
typedef struct {
    // A beat is sent this often; 0: none.
    uint32_t interval_ms;
    // The silence after which the sender is dead; 0: the receiver gives no verdict.
    uint32_t timeout_ms;
    // A promise of the sender can stretch that timeout to this.
    uint32_t max_timeout_ms;
} hw_direction;

// The server has accepted this client.
typedef struct {
    // The server's number of this session.
    uint64_t session;
    // Grows with each session under this name; 0 without a name.
    uint64_t epoch;
    // From this client to the server.
    hw_direction to_server;
    // From the server to this client.
    hw_direction to_client;
    // The server reads at once what is at least so long. Shorter messages are filled up.
    uint32_t wake_bytes;
    // The longest message that the server takes, in bytes.
    uint32_t max_frame;
    // This client's verdict comes so long after the last byte at the earliest; 0: never.
    uint32_t earliest_ms;
    // And at the latest, if `hw_client_poll` is called in time.
    uint32_t latest_ms;
    // The session that was before goes on: no message of the server was lost.
    bool resumed;
    // The session that was before has ended: messages of the server may be lost.
    bool lost;
} hw_welcome;

// Bytes that lie elsewhere.
typedef struct {
    // Where they begin. They stay until the next call of `hw_client_event` or `hw_client_feed`.
    const uint8_t *ptr;
    // How many there are, perhaps none.
    size_t len;
} hw_bytes;

// The server has ended the connection.
typedef struct {
    // Why: a number of the protocol. `hw_bye_text` has its name.
    uint32_t code;
    // Whether it wants this client back.
    hw_retry retry;
    // With `HW_RETRY_WITHIN`: the shortest wait.
    uint32_t earliest_ms;
    // With `HW_RETRY_WITHIN`: the longest wait.
    uint32_t latest_ms;
    // For people, UTF-8, not ended by a zero. It stays until the next call of `hw_client_event` or
    // `hw_client_feed`.
    const char *detail;
    // Bytes of `detail`, perhaps none.
    size_t detail_len;
} hw_bye;

// The server is dead. `silence_ms - paused_ms` lies between `earliest_ms` and `latest_ms`.
typedef struct {
    // What showed it.
    hw_cause cause;
    // How long nothing had come, rounded down.
    uint32_t silence_ms;
    // When the verdict had to come at the earliest, from the last byte on.
    uint32_t earliest_ms;
    // And at the latest.
    uint32_t latest_ms;
    // How much of the silence does not count, because this device was paused.
    uint32_t paused_ms;
    // How long after its deadline the verdict came.
    uint32_t late_ms;
} hw_verdict;

// The server broke the protocol.
typedef struct {
    // How. `hw_violation_text` has its name.
    hw_violation_code code;
} hw_violation;

// What an event carries: the part that belongs to its kind.
typedef union {
    // `HW_EVENT_WELCOME`.
    hw_welcome welcome;
    // `HW_EVENT_PROMISE`: the server's next beat comes within this.
    uint32_t promise_ms;
    // `HW_EVENT_DATA`.
    hw_bytes data;
    // `HW_EVENT_BYE`.
    hw_bye bye;
    // `HW_EVENT_DEAD`.
    hw_verdict dead;
    // `HW_EVENT_BROKEN`.
    hw_violation broken;
} hw_event_of;

// An event.
typedef struct {
    // What it is.
    hw_event_kind kind;
    // What it carries.
    hw_event_of of;
} hw_event;

// The state of a connection.
typedef struct {
    // This client's interval in force; 0: no beats.
    uint32_t interval_ms;
    // The silence after which the server is dead, under its promise in force; 0: no verdict.
    uint32_t timeout_ms;
    // How long nothing has come from the server.
    uint32_t silence_ms;
    // v1: how long ago the server last heard this client, as far as it has said.
    uint32_t unheard_ms;
    // v1: the round trip in microseconds, as exact as the clock; 0: not known.
    uint32_t rtt_us;
    // v1: where `rtt_us` is 0, the round trip is below this; 0: not known.
    uint32_t rtt_below_us;
    // v1: how late the server's last beat was.
    uint32_t peer_late_ms;
    // v1: the server's health.
    hw_health peer_health;
    // v1: the server says that this client's beats come far too often.
    bool too_fast;
} hw_link;

// Makes 64-bit milliseconds of a 32-bit counter, which starts again at 0 after 49 days. All zeros
// is its start.
typedef struct {
    // The time so far.
    uint64_t ms;
    // The counter, as of the last call that moved the time.
    uint32_t ticks_ms;
} hw_clock;

// The kernel's own timers for a connection: `SO_KEEPALIVE` with its three numbers, and
// `TCP_USER_TIMEOUT`, which fit together.
typedef struct {
    // `TCP_KEEPIDLE`, in seconds.
    uint32_t idle_s;
    // `TCP_KEEPINTVL`, in seconds.
    uint32_t interval_s;
    // `TCP_KEEPCNT`.
    uint32_t count;
    // `TCP_USER_TIMEOUT`, in milliseconds.
    uint32_t user_timeout_ms;
    // The peer is found dead after so long at the latest, in milliseconds.
    uint32_t bound_ms;
} hw_keepalive;

// Memory for a client.
typedef union {
    // Aligns it.
    uint64_t align;
    // Holds it.
    uint8_t bytes[HW_CLIENT_SIZE];
} hw_client_memory;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a client of `size` bytes at `memory`, whatever is there. It is idle then: `memory` is the
// `hw_client` of all other calls. It has nothing to be freed.
//
// `HW_ERR_ARGUMENT`: a null pointer, a setting out of range, or `memory`, `rx` and `tx` overlap.
// `HW_ERR_SIZE`: `memory`, `rx` or `tx` is too small, or `memory` not aligned to
// `HW_CLIENT_ALIGN`. `HW_ERR_PROTOCOL`: a setting that the protocol does not have.
hw_status hw_client_init(void *memory,
                         size_t size,
                         const hw_config *config);

// The transport is connected, as of `now_ms`: a HELLO (v1) or the first beat (v0) waits to be
// written. Ask `hw_client_poll` next. Bytes and events of a connection before are dropped.
//
// `HW_ERR_STATE`: there is a connection; call `hw_client_disconnected` first.
hw_status hw_client_connected(hw_client *client, uint64_t now_ms);

// These bytes came, as of `now_ms`, which was read after they did. They lie outside of `rx`. How
// many there was room for goes to `taken`. If there are fewer than `len`, take the events, then
// feed the rest; do not read on before that. After the end of a connection all bytes are taken and
// dropped.
//
// `HW_ERR_STATE`: there is no connection.
hw_status hw_client_feed(hw_client *client,
                         uint64_t now_ms,
                         const uint8_t *bytes,
                         size_t len,
                         size_t *taken);

// Takes the next event, of kind `HW_EVENT_NONE` if there is none. Call it until then whenever
// bytes were fed, and when `hw_client_poll` says `HW_STEP_CLOSE`. What an event points to stays
// until the next call of this or of `hw_client_feed`. In a session that can be resumed, a message
// counts as taken over by the application when this is called the next time, or
// `hw_client_close`, or `hw_client_connected`.
hw_status hw_client_event(hw_client *client,
                          uint64_t now_ms,
                          hw_event *event);

// What to do next. Ask whenever bytes were fed and their events taken, when the deadline has come,
// and after each step: early and repeated calls do no harm. `HW_STEP_IDLE` without a connection,
// and for a client that was not initialised.
hw_step hw_client_poll(hw_client *client,
                       uint64_t now_ms);

// After `HW_STEP_READ`: the socket was read, what it held was fed, and the events were taken.
// `more`: the read stopped with bytes left. Then a verdict that is still due waits for another
// read, though not without end. Otherwise it is given now. Answers what to do next, as
// `hw_client_poll`.
hw_step hw_client_read_done(hw_client *client, uint64_t now_ms, bool more);

// When to call `hw_client_poll` at the latest if nothing happens before, on the caller's clock;
// `HW_NEVER`: there is no such time. It can move earlier only by calls of this library, so ask
// after the last of them.
uint64_t hw_client_deadline(const hw_client *client);

// What to write now: `bytes` and `len`, perhaps 0. It stays until the next call with this client.
// Report with `hw_client_written` how much of it the socket took, before any other call with this
// client: another one may put a beat in front. To write while others are made, as with DMA, copy
// it and report the copy as written.
hw_status hw_client_output(const hw_client *client,
                           const uint8_t **bytes,
                           size_t *len);

// The socket took the first `len` bytes of what `hw_client_output` gave.
//
// `HW_ERR_ARGUMENT`: that is more than there was.
hw_status hw_client_written(hw_client *client, uint64_t now_ms, size_t len);

// Queues a message, whole or not at all; on `HW_PROTOCOL_RAW` the bytes as they are. It is copied.
// `HW_OK` means that it is queued, not that it has arrived.
//
// `HW_ERR_STATE`: not connected, closing, or on v1 not welcomed yet. `HW_ERR_ROOM`: not now.
// `HW_ERR_TOO_LONG`: never. `HW_ERR_PROTOCOL`: not in a session that can be resumed.
hw_status hw_client_send(hw_client *client,
                         uint64_t now_ms,
                         const uint8_t *bytes,
                         size_t len);

// The longest message that `hw_client_send` would take now; 0 also where it would take none.
size_t hw_client_send_room(const hw_client *client);

// Promises the server a beat every `interval_ms` from now on: longer before the device sleeps,
// shorter when it is back; 0: as agreed. The server's timeout follows. What the contract allows
// goes to `agreed_ms`, which may be null. Changes that follow too fast on each other are told
// together. Ends with the connection.
//
// `HW_ERR_PROTOCOL`: not v1. `HW_ERR_STATE`: not welcomed yet, or this client sends no beats.
hw_status hw_client_promise(hw_client *client, uint32_t interval_ms, uint32_t *agreed_ms);

// The health that the beats report from now on, on this connection and the next ones. A change
// makes a beat due at once. `HW_ERR_PROTOCOL`: not v1.
hw_status hw_client_set_health(hw_client *client, hw_health health);

// Ends the connection when what waits is written; on v1 a BYE comes last. `hw_client_poll` says
// `HW_STEP_CLOSE` then, or when the socket has taken nothing for 3 s. Close gently: shut down the
// sending half, then read and drop what comes until the server has closed too, for 1 s at most.
//
// `HW_ERR_STATE`: there is no connection, or it has ended or is closing. `HW_ERR_ROOM`: not now.
hw_status hw_client_close(hw_client *client,
                          uint64_t now_ms);

// The transport has ended, or could not be made. The client is idle then. What was not written is
// dropped; events of what was fed can still be taken, and the last tells how it ended.
hw_status hw_client_disconnected(hw_client *client,
                                 uint64_t now_ms);

// How long to wait from `now_ms` on before connecting again, in milliseconds: 0 for the first
// attempt, then random and growing, or what the server asked for. `HW_NEVER`: the server said that
// it would refuse this client again, or the client was not initialised. It is drawn once for each
// attempt, and called again it says what is left. 0 while there is a connection.
uint64_t hw_client_retry_ms(hw_client *client,
                            uint64_t now_ms);

// The state of the connection. `HW_ERR_STATE`: there is none, or on v1 it is not welcomed yet.
hw_status hw_client_link(const hw_client *client, uint64_t now_ms, hw_link *link);

// The time of a counter of milliseconds that starts again at 0 after 2^32. Call it at least every
// 24 days. A counter that goes back is taken as standing still. A first reading of 0 is the time
// 1. Null: 0.
uint64_t hw_clock_extend(hw_clock *clock,
                         uint32_t ticks_ms);

// Fills in the defaults: v1, beats every 10 s, a timeout of 30 s, no name. What is left to set is
// `rx`, `tx`, and `seed`. Nothing happens if `config` is null.
void hw_config_default(hw_config *config);

// The kernel's timers that find a dead peer within `timeout_ms`, rounded down to seconds: for a
// connection without beats, or besides them. The kernel's own rounding, less than a second, comes
// on top. `HW_ERR_ARGUMENT`: less than 3 s, more than 18 h, or `keepalive` is null.
hw_status hw_keepalive_fit(uint32_t timeout_ms,
                           hw_keepalive *keepalive);

// What a status is called: a text that ends with a zero and always stays.
const char *hw_status_text(hw_status status);

// The name of a violation's code, as in the events of the programs.
const char *hw_violation_text(hw_violation_code code);

// The name of a BYE's code, as in the events of the programs.
const char *hw_bye_text(uint32_t code);

// The version of this library.
const char *hw_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HEARTWIRE_H */
