/* The command line of posix.c.

   Usage: posix [OPTIONS] HOST PORT
     -0, -r     protocol v0, or raw bytes, instead of v1
     -i MS      a beat so often; 0: none
     -t MS      the silence after which the server is dead; 0: no verdict
     -m MS, -M MS  v1: the shortest interval and the longest timeout to agree to
     -p MS      v1: promise a beat so often instead of what was agreed
     -e         v0: answer beats
     -n NAME, -f FILE  v1: the client's name, and a file with its token
     -g MS      v1: a session that can be resumed, and is kept so long; it only receives
     -s SEED    for the waits before it comes back; default: random
     -k IDLE,INTERVAL,COUNT  the kernel's keepalive, in seconds
     -u MS      the kernel's TCP_USER_TIMEOUT
     -1         do not come back

   Exit codes: 0 stopped by a signal, or standard output was closed; 2 wrong usage; without a way
   back: 4 the connection was lost or not made, or the client rejected; 5 the server is dead. */

#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heartwire.h"

static hw_config config;
static struct {
    const char *host, *port;
    int keepalive[3], user_timeout_ms; /* 0: not set */
    uint32_t promise_ms;
    bool once;
} options;

/* Reads the token of a file. */
static void read_token(const char *path) {
    static uint8_t token[257];
    FILE *file = fopen(path, "r");
    config.token_len = file ? fread(token, 1, sizeof token, file) : 0;
    if (file) fclose(file);
    while (config.token_len > 0 && token[config.token_len - 1] <= ' ') config.token_len--;
    config.token = token;
    if (config.token_len == 0) {
        fprintf(stderr, "posix: no token in %s\n", path);
        exit(2);
    }
}

/* Fills in both, or exits. */
static void parse(int argc, char **argv) {
    FILE *random = fopen("/dev/urandom", "rb");
    size_t drawn = random ? fread(&config.seed, sizeof config.seed, 1, random) : 0;
    if (drawn == 0) config.seed = (uint64_t)getpid();
    if (random) fclose(random);

    int option;
    while ((option = getopt(argc, argv, "0r1ei:t:m:M:p:n:f:g:s:k:u:")) != -1) {
        uint32_t ms = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        int *k = options.keepalive;
        switch (option) {
        case '0': config.protocol = HW_PROTOCOL_V0; break;
        case 'r': /* Beats need a frame around them. */
            config.protocol = HW_PROTOCOL_RAW;
            config.interval_ms = config.timeout_ms = 0;
            break;
        case '1': options.once = true; break;
        case 'e': config.echo = 1; break;
        case 'i': config.interval_ms = ms; break;
        case 't': config.timeout_ms = ms; break;
        case 'm': config.min_interval_ms = ms; break;
        case 'M': config.max_timeout_ms = ms; break;
        case 'p': options.promise_ms = ms; break;
        case 'g': config.grace_ms = ms; break;
        case 'n': config.name = optarg, config.name_len = strlen(optarg); break;
        case 'f': read_token(optarg); break;
        case 's': config.seed = strtoull(optarg, NULL, 10); break;
        case 'u': options.user_timeout_ms = (int)ms; break;
        case 'k':
            if (sscanf(optarg, "%d,%d,%d", &k[0], &k[1], &k[2]) == 3) break;
            /* fall through */
        default: argc = 0;
        }
    }
    if (argc - optind != 2) {
        fprintf(stderr, "usage: posix [OPTIONS] HOST PORT, see posix.c\n");
        exit(2);
    }
    if (config.protocol == HW_PROTOCOL_V1) config.agent = "posix.c", config.agent_len = 7;
    options.host = argv[optind];
    options.port = argv[optind + 1];
}

#endif
