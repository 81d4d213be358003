/* uSockets: a loop for each thread, each with a listening socket of its own. */
#include <libusockets.h>

#include <pthread.h>

#include "protocol.h"

/* uSockets reads as much at once. */
enum { MOST_READ = 512 * 1024 };

static struct options options;
static const char *answers;

/* What a connection has beside its socket. */
struct connection {
    /* What the socket did not take. */
    char *unsent;
    int unsent_length;
    unsigned char matched;
    /* The peer has ended its side: the connection is closed when nothing is unsent. */
    unsigned char ended;
};

static void ignore(struct us_loop_t *loop) {
    (void) loop;
}

static struct us_socket_t *on_open(struct us_socket_t *s, int is_client, char *ip, int ip_length) {
    (void) is_client, (void) ip, (void) ip_length;
    memset(us_socket_ext(0, s), 0, sizeof(struct connection));
    return s;
}

static struct us_socket_t *on_close(struct us_socket_t *s, int code, void *reason) {
    (void) code, (void) reason;
    free(((struct connection *) us_socket_ext(0, s))->unsent);
    return s;
}

/* Keeps bytes behind those that are unsent. */
static struct us_socket_t *keep(struct us_socket_t *s, const char *bytes, int length) {
    struct connection *connection = us_socket_ext(0, s);
    char *unsent = realloc(connection->unsent, connection->unsent_length + length);
    if (!unsent)
        return us_socket_close(0, s, 0, NULL);
    memcpy(unsent + connection->unsent_length, bytes, length);
    connection->unsent = unsent;
    connection->unsent_length += length;
    return s;
}

static struct us_socket_t *on_data(struct us_socket_t *s, char *data, int length) {
    struct connection *connection = us_socket_ext(0, s);
    const char *answer = data;
    if (!options.echo) {
        length = count_ends(&connection->matched, data, length) * ANSWER_LENGTH;
        answer = answers;
    }
    if (length == 0)
        return s;
    int written = connection->unsent_length ? 0 : us_socket_write(0, s, answer, length, 0);
    return written < length ? keep(s, answer + written, length - written) : s;
}

static struct us_socket_t *on_writable(struct us_socket_t *s) {
    struct connection *connection = us_socket_ext(0, s);
    if (connection->unsent_length) {
        int written = us_socket_write(0, s, connection->unsent, connection->unsent_length, 0);
        connection->unsent_length -= written;
        memmove(connection->unsent, connection->unsent + written, connection->unsent_length);
    }
    if (!connection->unsent_length) {
        free(connection->unsent);
        connection->unsent = NULL;
        if (connection->ended)
            return us_socket_close(0, s, 0, NULL);
    }
    return s;
}

static struct us_socket_t *on_end(struct us_socket_t *s) {
    struct connection *connection = us_socket_ext(0, s);
    connection->ended = 1;
    return connection->unsent_length ? s : us_socket_close(0, s, 0, NULL);
}

static struct us_socket_t *on_timeout(struct us_socket_t *s) {
    return s;
}

static void *serve(void *nothing) {
    struct us_socket_context_options_t no_tls;
    memset(&no_tls, 0, sizeof no_tls);
    struct us_loop_t *loop = us_create_loop(NULL, ignore, ignore, ignore, 0);
    struct us_socket_context_t *context = us_create_socket_context(0, loop, 0, no_tls);
    us_socket_context_on_open(0, context, on_open);
    us_socket_context_on_data(0, context, on_data);
    us_socket_context_on_writable(0, context, on_writable);
    us_socket_context_on_close(0, context, on_close);
    us_socket_context_on_timeout(0, context, on_timeout);
    us_socket_context_on_end(0, context, on_end);
    if (!us_socket_context_listen(0, context, options.ip, options.port, LIBUS_LISTEN_DEFAULT,
                                  sizeof(struct connection))) {
        fprintf(stderr, "usockets: it cannot listen at %s:%d\n", options.ip, options.port);
        exit(1);
    }
    us_loop_run(loop);
    return nothing;
}

int main(int count, char **words) {
    options = read_options(count, words);
    if (options.mixed) {
        fprintf(stderr, "usockets: how much is read at once can't be chosen\n");
        return 1;
    }
    answers = repeated_answer(MOST_READ);
    for (int thread = 1; thread < options.threads; thread++) {
        pthread_t other;
        if (pthread_create(&other, NULL, serve, NULL) != 0) {
            fprintf(stderr, "usockets: no thread\n");
            return 1;
        }
    }
    serve(NULL);
    return 0;
}
