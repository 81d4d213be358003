/* What the servers in C and C++ answer, and their command line: SERVER IP PORT THREADS plaintext|echo|mixed. */
#ifndef VERSUS_PROTOCOL_H
#define VERSUS_PROTOCOL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\n"
    "Server: versus\r\n"
    "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\n"
    "Content-Length: 13\r\n"
    "\r\n"
    "Hello, World!";

enum { ANSWER_LENGTH = sizeof ANSWER - 1, TERMINATOR_LENGTH = 4 };

/* The longest work that a request can ask for, in microseconds. */
static const long LONGEST_SPIN = 1000000;

/* A server's options. */
struct options {
    const char *ip;
    int port;
    int threads;
    int echo;
    /* HTTP, and connections that become a flood by their first request. */
    int mixed;
};

static inline struct options read_options(int count, char **words) {
    struct options options = {0, 0, 0, 0, 0};
    if (count == 5) {
        options.ip = words[1];
        options.port = atoi(words[2]);
        options.threads = atoi(words[3]);
        options.echo = strcmp(words[4], "echo") == 0;
        options.mixed = strcmp(words[4], "mixed") == 0;
    }
    if (options.threads < 1 ||
        (!options.echo && !options.mixed && strcmp(words[4], "plaintext") != 0)) {
        fprintf(stderr, "usage: %s IP PORT THREADS plaintext|echo|mixed\n", words[0]);
        exit(1);
    }
    return options;
}

/* As many answers as a read of `most_read` bytes can ask for, so that each read is answered by one send. */
static inline char *repeated_answer(size_t most_read) {
    size_t most = (most_read + TERMINATOR_LENGTH - 1) / TERMINATOR_LENGTH;
    char *answers = (char *) malloc(most * ANSWER_LENGTH);
    for (size_t at = 0; answers && at < most; at++)
        memcpy(answers + at * ANSWER_LENGTH, ANSWER, ANSWER_LENGTH);
    if (!answers) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    return answers;
}

/* Takes one byte of the stream: `matched` is how much of the terminator the stream ends with. Returns 1
 * if the byte ends a request. */
static inline size_t ends_with(unsigned char *matched, char byte) {
    if (byte == "\r\n\r\n"[*matched]) {
        *matched = (*matched + 1) % TERMINATOR_LENGTH;
        return *matched == 0;
    }
    *matched = byte == '\r';
    return 0;
}

/* Computes for as many microseconds as the request says. */
static inline void spin(const char *path, size_t length) {
    struct timespec begin, now;
    long micros = 0;
    for (; length > 0 && *path >= '0' && *path <= '9' && micros <= LONGEST_SPIN; path++, length--)
        micros = micros * 10 + (*path - '0');
    if (micros > LONGEST_SPIN)
        micros = LONGEST_SPIN;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < micros);
}

/* What a connection becomes by its request: one that is read by 16 bytes, which are thrown away, or by
 * 64 KiB, which are sent back. */
enum flood { NO_FLOOD, READ_16, ECHO_64K };

enum { SMALL_READ = 16, LARGEST_READ = 64 * 1024 };

static inline enum flood flood_asked_for(const char *read, size_t length) {
    static const char read_16[] = "GET /flood/read-16 HTTP/1.1\r\n";
    static const char echo_64k[] = "GET /flood/echo-64k HTTP/1.1\r\n";
    if (length >= sizeof read_16 - 1 && memcmp(read, read_16, sizeof read_16 - 1) == 0)
        return READ_16;
    if (length >= sizeof echo_64k - 1 && memcmp(read, echo_64k, sizeof echo_64k - 1) == 0)
        return ECHO_64K;
    return NO_FLOOD;
}

/* Returns how many requests end in this read, after computing for one that asks for it. */
static inline size_t count_ends(unsigned char *matched, const char *read, size_t length) {
    static const char prefix[] = "GET /spin/";
    size_t ends = 0, at = 0;
    if (length >= sizeof prefix - 1 && memcmp(read, prefix, sizeof prefix - 1) == 0)
        spin(read + sizeof prefix - 1, length - (sizeof prefix - 1));
    /* A terminator that began in the reads before. */
    while (*matched && at < length)
        ends += ends_with(matched, read[at++]);
    /* Every fourth byte tells whether a terminator may include it. */
    while (at + TERMINATOR_LENGTH <= length) {
        char last = read[at + TERMINATOR_LENGTH - 1];
        if (last == '\r') {
            at += 1;
        } else if (last != '\n') {
            at += TERMINATOR_LENGTH;
        } else if (memcmp(read + at, "\r\n\r\n", TERMINATOR_LENGTH) == 0) {
            ends++;
            at += TERMINATOR_LENGTH;
        } else {
            at += 2;
        }
    }
    while (at < length)
        ends += ends_with(matched, read[at++]);
    return ends;
}

#endif
