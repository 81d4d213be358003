// A reactor by hand in the style of ACE: handlers with virtual methods, a table of them by descriptor, and
// level-triggered epoll. One reactor a thread, each with an acceptor of its own.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "protocol.h"

namespace {

constexpr size_t kReadBuffer = 8 * 1024;
constexpr int kBacklog = 4096;
constexpr int kEvents = 256;

[[noreturn]] void fail(const char *operation) {
    throw std::system_error(errno, std::generic_category(), operation);
}

// Has one descriptor, and hears of its events.
class EventHandler {
public:
    explicit EventHandler(int fd) : fd_(fd) {}
    virtual ~EventHandler() { close(fd_); }
    EventHandler(const EventHandler &) = delete;
    EventHandler &operator=(const EventHandler &) = delete;

    int fd() const { return fd_; }

    // Both return false at the end of the handler.
    virtual bool handle_input() = 0;
    virtual bool handle_output() { return true; }

private:
    int fd_;
};

class Reactor {
public:
    Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) fail("epoll_create1");
    }
    ~Reactor() { close(epoll_); }

    void add(std::unique_ptr<EventHandler> handler, uint32_t events) {
        control(EPOLL_CTL_ADD, *handler, events);
        const size_t fd = handler->fd();
        if (handlers_.size() <= fd) handlers_.resize(fd + 1);
        handlers_[fd] = std::move(handler);
    }

    void change(EventHandler &handler, uint32_t events) { control(EPOLL_CTL_MOD, handler, events); }

    // Lent to the read of every handler.
    char *buffer() { return buffer_; }

    [[noreturn]] void run() {
        epoll_event events[kEvents];
        for (;;) {
            const int came = epoll_wait(epoll_, events, kEvents, -1);
            if (came < 0 && errno != EINTR) fail("epoll_wait");
            for (int at = 0; at < came; at++) dispatch(events[at]);
        }
    }

private:
    void dispatch(const epoll_event &event) {
        // Not a reference into the table: an acceptor makes it larger.
        EventHandler *handler = handlers_[event.data.fd].get();
        bool goes_on = true;
        if (event.events & EPOLLOUT) goes_on = handler->handle_output();
        // Errors and the end are read.
        if (goes_on && event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) goes_on = handler->handle_input();
        if (!goes_on) handlers_[event.data.fd].reset();
    }

    void control(int operation, EventHandler &handler, uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.fd = handler.fd();
        if (epoll_ctl(epoll_, operation, handler.fd(), &event) < 0) fail("epoll_ctl");
    }

    int epoll_;
    // By descriptor.
    std::vector<std::unique_ptr<EventHandler>> handlers_;
    char buffer_[LARGEST_READ];
};

class Connection final : public EventHandler {
public:
    Connection(int fd, Reactor &reactor, const options &options, const char *answers)
        : EventHandler(fd), reactor_(reactor), answers_(answers), echo_(options.echo),
          mixed_(options.mixed) {}

    bool handle_input() override {
        const ssize_t length = recv(fd(), reactor_.buffer(), read_size_, 0);
        if (length < 0) return errno == EAGAIN || errno == EINTR;
        if (length == 0) return false;
        if (echo_) return send_or_keep(reactor_.buffer(), length);
        if (read_size_ == SMALL_READ) return true;
        if (mixed_) become_flood(length);
        const size_t ends = count_ends(&matched_, reactor_.buffer(), length);
        return ends == 0 || send_or_keep(answers_, ends * ANSWER_LENGTH);
    }

    bool handle_output() override {
        const ssize_t sent = send(fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        unsent_.erase(0, sent);
        if (unsent_.empty()) {
            unsent_.shrink_to_fit();
            reactor_.change(*this, EPOLLIN);
        }
        return true;
    }

private:
    // From the next read on. This one is answered as any other.
    void become_flood(size_t length) {
        const flood flood = flood_asked_for(reactor_.buffer(), length);
        if (flood == READ_16) read_size_ = SMALL_READ;
        if (flood == ECHO_64K) read_size_ = LARGEST_READ, echo_ = true;
    }

    bool send_or_keep(const char *bytes, size_t length) {
        ssize_t sent = send(fd(), bytes, length, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) return false;
            sent = 0;
        }
        if (static_cast<size_t>(sent) < length) {
            unsent_.assign(bytes + sent, length - sent);
            // Nothing more is read until this is out.
            reactor_.change(*this, EPOLLOUT);
        }
        return true;
    }

    Reactor &reactor_;
    const char *answers_;
    std::string unsent_;
    size_t read_size_ = kReadBuffer;
    bool echo_;
    bool mixed_;
    unsigned char matched_ = 0;
};

class Acceptor final : public EventHandler {
public:
    Acceptor(const options &options, Reactor &reactor, const char *answers)
        : EventHandler(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
          reactor_(reactor), answers_(answers), options_(options) {
        const int on = 1;
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(options.port);
        if (inet_pton(AF_INET, options.ip, &address.sin_addr) != 1)
            throw std::runtime_error("not an IPv4 address");
        if (fd() < 0) fail("socket");
        if (setsockopt(fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("SO_REUSEADDR");
        if (setsockopt(fd(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) fail("SO_REUSEPORT");
        if (bind(fd(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) fail("bind");
        if (listen(fd(), kBacklog) < 0) fail("listen");
    }

    bool handle_input() override {
        const int accepted = accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0)
            reactor_.add(std::make_unique<Connection>(accepted, reactor_, options_, answers_), EPOLLIN);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            fail("accept4");
        return true;
    }

private:
    Reactor &reactor_;
    const char *answers_;
    const options &options_;
};

void serve(const options &options, const char *answers) {
    try {
        Reactor reactor;
        reactor.add(std::make_unique<Acceptor>(options, reactor, answers), EPOLLIN);
        reactor.run();
    } catch (const std::exception &error) {
        fprintf(stderr, "reactor: %s\n", error.what());
        exit(1);
    }
}

} // namespace

int main(int count, char **words) {
    const options options = read_options(count, words);
    const char *answers = repeated_answer(kReadBuffer);
    std::vector<std::thread> others;
    for (int thread = 1; thread < options.threads; thread++)
        others.emplace_back(serve, options, answers);
    serve(options, answers);
}
