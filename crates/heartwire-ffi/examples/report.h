/* Tells on standard error what happens, one JSON object a line, with the names of docs/events.md.
   This is about printing only; posix.c is about the library. */

#ifndef REPORT_H
#define REPORT_H

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "heartwire.h"

/* Of the connection that there is. */
static struct {
    const char *protocol;
    char peer[128];
    bool is_connected, is_online;
    unsigned long beats;
} told;

/* Prints an event with these fields, which begin with a comma if there are any. */
static void report(const char *event, const char *fields, ...) {
    struct timespec now;
    struct tm utc;
    char line[2048], at[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &utc);
    int len = snprintf(line, sizeof line, "{\"time\":\"%s.%06ldZ\",\"event\":\"%s\"", at,
                       now.tv_nsec / 1000, event);
    va_list values;
    va_start(values, fields);
    len += vsnprintf(line + len, sizeof line - (size_t)len - 2, fields, values);
    va_end(values);
    if ((size_t)len > sizeof line - 3) len = sizeof line - 3; /* cut off, and no JSON any more */
    line[len++] = '}';
    line[len++] = '\n';
    /* In one piece: its reader never sees half of it. */
    if (write(STDERR_FILENO, line, (size_t)len) < 0) return;
}

/* Text of the other end, which must not break a line of JSON, or a terminal. Returns `out`. */
static const char *quoted(char *out, size_t size, const char *text, size_t len) {
    size_t used = 0;
    for (size_t at = 0; at < len && used + 7 < size; at++) {
        unsigned char c = (unsigned char)text[at];
        bool is_plain = c >= ' ' && c < 0x7f && c != '"' && c != '\\';
        used += (size_t)snprintf(out + used, size - used, is_plain ? "%c" : "\\u%04x", c);
    }
    out[used] = '\0';
    return out;
}

/* Milliseconds, or `null` for none. Returns `out`. */
static const char *or_null(char out[24], uint64_t ms) {
    snprintf(out, 24, ms ? "%llu" : "null", (unsigned long long)ms);
    return out;
}

static void report_online(const char *fields) {
    told.is_online = true;
    report("online", "%s,\"peer\":\"%s\",\"protocol\":\"%s\"", fields, told.peer, told.protocol);
}

/* TCP is connected. Without a handshake the client is online then. */
static void report_connected(int server, hw_protocol protocol) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[64], port[8];
    memset(&told, 0, sizeof told);
    told.is_connected = true;
    told.protocol = protocol == HW_PROTOCOL_V1 ? "v1" : "v0";
    if (getpeername(server, (struct sockaddr *)&address, &len) == 0
        && getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                       NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        const char *form = address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s";
        snprintf(told.peer, sizeof told.peer, form, host, port);
    }
    if (protocol != HW_PROTOCOL_V1) report_online("");
}

static void report_welcome(const hw_welcome *welcome) {
    char fields[768], ms[4][24];
    snprintf(fields, sizeof fields,
             ",\"session\":%llu,\"epoch\":%llu"
             ",\"to_server\":{\"interval_ms\":%s,\"timeout_ms\":%s}"
             ",\"to_client\":{\"interval_ms\":%s,\"timeout_ms\":%s},\"wake_bytes\":%lu"
             ",\"max_frame\":%lu,\"earliest_ms\":%lu,\"latest_ms\":%lu"
             ",\"resumed\":%s,\"lost\":%s",
             (unsigned long long)welcome->session, (unsigned long long)welcome->epoch,
             or_null(ms[0], welcome->to_server.interval_ms),
             or_null(ms[1], welcome->to_server.timeout_ms),
             or_null(ms[2], welcome->to_client.interval_ms),
             or_null(ms[3], welcome->to_client.timeout_ms), (unsigned long)welcome->wake_bytes,
             (unsigned long)welcome->max_frame, (unsigned long)welcome->earliest_ms,
             (unsigned long)welcome->latest_ms, welcome->resumed ? "true" : "false",
             welcome->lost ? "true" : "false");
    report_online(fields);
}

/* An event that is not the end of the connection. */
static void report_event(const hw_event *event) {
    switch (event->kind) {
    case HW_EVENT_WELCOME: report_welcome(&event->of.welcome); break;
    case HW_EVENT_BEAT: told.beats++; break;
    case HW_EVENT_PROMISE:
        told.beats++;
        report("promise", ",\"interval_ms\":%lu", (unsigned long)event->of.promise_ms);
        break;
    case HW_EVENT_END: report("ended", ""); break;
    default: break;
    }
}

static void report_waiting(uint64_t ms, unsigned attempt) {
    report("waiting", ",\"wait_ms\":%llu,\"attempt\":%u", (unsigned long long)ms, attempt);
}

/* There is no connection, or the server has not accepted this client. */
static void report_failed(const char *error, bool is_retryable, const char *fields) {
    report("failed", ",\"error\":\"%s\"%s,\"retryable\":%s", error, fields,
           is_retryable ? "true" : "false");
}

/* What a verdict says. */
static void verdict_fields(char *fields, size_t size, const hw_verdict *verdict) {
    snprintf(fields, size,
             ",\"cause\":\"%s\",\"silence_ms\":%lu,\"earliest_ms\":%lu,\"latest_ms\":%lu"
             ",\"paused_ms\":%lu,\"late_ms\":%lu",
             verdict->cause == HW_CAUSE_SILENCE ? "silence" : "unheard",
             (unsigned long)verdict->silence_ms, (unsigned long)verdict->earliest_ms,
             (unsigned long)verdict->latest_ms, (unsigned long)verdict->paused_ms,
             (unsigned long)verdict->late_ms);
}

/* What the server's BYE says. */
static void bye_fields(char *fields, size_t size, const hw_bye *bye) {
    static const char *const retry[] = {"never", "at_will", "within"};
    char detail[1024], ms[2][24];
    snprintf(fields, size,
             ",\"bye\":{\"code\":\"%s\",\"number\":%lu,\"detail\":\"%s\",\"retry\":\"%s\""
             ",\"earliest_ms\":%s,\"latest_ms\":%s}",
             hw_bye_text(bye->code), (unsigned long)bye->code,
             quoted(detail, sizeof detail, bye->detail, bye->detail_len), retry[bye->retry],
             or_null(ms[0], bye->earliest_ms), or_null(ms[1], bye->latest_ms));
}

/* What this system says of the end of a connection. */
static const char *reason_of(int error) {
    switch (error) {
    case 0: return "closed_by_peer";
    case ECONNRESET: case ECONNABORTED: case EPIPE: case ENOTCONN: return "reset";
    case ETIMEDOUT: case EHOSTUNREACH: case ENETUNREACH: return "dead"; /* it has given up */
    default: return "failed";
    }
}

/* The connection has ended. Says whether the server is dead. */
static bool report_end(const hw_event *event, int error, bool is_stopped) {
    char fields[1536] = "";
    const char *reason = "shutdown", *detail = "stopped";
    bool is_rejected = event->kind == HW_EVENT_BYE && event->of.bye.retry == HW_RETRY_NEVER;
    if (event->kind == HW_EVENT_DEAD) {
        reason = "dead", detail = "nothing came for the timeout";
        if (event->of.dead.cause == HW_CAUSE_UNHEARD) detail = "the server does not hear this end";
        verdict_fields(fields, sizeof fields, &event->of.dead);
    } else if (event->kind == HW_EVENT_BROKEN) {
        reason = "protocol_error", detail = hw_violation_text(event->of.broken.code);
        snprintf(fields, sizeof fields, ",\"violation\":\"%s\"", detail);
    } else if (event->kind == HW_EVENT_BYE) {
        if (!is_stopped) reason = "bye";
        detail = hw_bye_text(event->of.bye.code);
        bye_fields(fields, sizeof fields, &event->of.bye);
    } else if (!is_stopped) {
        reason = reason_of(error), detail = error ? strerror(error) : "closed by the peer";
        if (strcmp(reason, "dead") == 0) strcpy(fields, ",\"cause\":\"kernel\"");
    }
    if (told.is_online) {
        report("offline", ",\"peer\":\"%s\",\"reason\":\"%s\",\"detail\":\"%s\"%s,\"beats\":%lu",
               told.peer, reason, detail, fields, told.beats);
    } else if (told.is_connected) {
        report_failed(detail, !is_rejected, fields);
    }
    bool is_dead = told.is_online && strcmp(reason, "dead") == 0;
    told.is_online = told.is_connected = false;
    return is_dead;
}

#endif
