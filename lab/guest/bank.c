/*
 * A guest whose accounts send money to accounts of other guests. Money is neither made nor lost: over all banks
 * the sum of balances, and of what was sent and not yet received, never changes. Each bank verifies its own part of
 * that (balances = initial + received - sent) and prints BROKEN when it does not hold.
 *
 * A transfer is debited when it is sent, and kept and sent again until the peer has acknowledged it; the receiver
 * credits transfers in the order of their numbers and each one once. So the rule holds on a network that loses,
 * repeats and reorders, and over TCP connections that break.
 *
 * Kernel command line:
 *   bank.id=N                 this bank, 0 to 15
 *   bank.peers=ID@IP,...      the others
 *   bank.proto=udp|tcp        (udp)
 *   bank.port=N               port of every bank (7000)
 *   bank.accounts=N           (64)   bank.initial=N money of each account at the start (1000)
 *   bank.period=MS            time between transfers (50)   bank.seed=N
 *
 * Output, a line a second: bank ID balance B sent S received R unacknowledged U ms T credited N, where N counts transfers
 * and the others are sums of money.
 */
#define _GNU_SOURCE
#include "guest.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

enum {
    MAX_BANKS = 16,
    MAX_ACCOUNTS = 4096,
    WINDOW = 256,       /* transfers of one peer that wait for acknowledgement; past it none is made */
    RESEND_MS = 300,
    REPORT_MS = 1000,
    RECONNECT_MS = 500,
};
static const uint32_t MAGIC = 0x58424e4b;

enum { HELLO, TRANSFER, ACK };

/* One message, little-endian. `sequence` numbers a peer's transfers from 1 on; in an ACK it is the highest one that
 * was credited. */
struct message {
    uint32_t magic;
    uint16_t type, from;
    uint64_t sequence;
    uint32_t account, amount;
    uint64_t check;
};
_Static_assert(sizeof(struct message) == 32, "no padding on the wire");

struct peer {
    int id;
    struct sockaddr_in address;
    struct { uint32_t account, amount; uint64_t sent_ms; } window[WINDOW];
    uint64_t next, acknowledged, credited;
    /* TCP only. */
    int fd;
    bool connecting;
    uint64_t retry_ms;
    char in[sizeof(struct message)], out[(WINDOW + 64) * sizeof(struct message)];
    size_t in_length, out_length;
};

static struct peer peers[MAX_BANKS];
static int peer_count, self, listener = -1;
static bool tcp;
static uint64_t balance[MAX_ACCOUNTS], accounts, initial, sent, received, random_state;

static uint64_t draw(uint64_t below)
{
    random_state = mix(random_state);
    return random_state % below;
}

static uint64_t check_of(const struct message *m)
{
    return mix(mix(m->sequence ^ ((uint64_t)m->type << 48) ^ ((uint64_t)m->from << 32)) ^
               ((uint64_t)m->account << 32 | m->amount));
}

static void drop_connection(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->connecting = false;
    p->in_length = p->out_length = 0;
    p->retry_ms = now_ms() + RECONNECT_MS;
}

static void flush(struct peer *p)
{
    if (p->fd < 0 || p->connecting)
        return;
    while (p->out_length > 0) {
        ssize_t n = send(p->fd, p->out, p->out_length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno != EAGAIN)
                drop_connection(p);
            return;
        }
        memmove(p->out, p->out + n, p->out_length - n);
        p->out_length -= n;
    }
}

/* What is not sent, because a buffer is full or no connection is up, is sent again later. */
static void post(struct peer *p, uint16_t type, uint64_t sequence, uint32_t account, uint32_t amount)
{
    struct message m = { MAGIC, type, self, sequence, account, amount, 0 };
    m.check = check_of(&m);
    if (!tcp) {
        sendto(p->fd, &m, sizeof m, MSG_DONTWAIT, (struct sockaddr *)&p->address, sizeof p->address);
    } else if (p->fd >= 0 && !p->connecting && p->out_length + sizeof m <= sizeof p->out) {
        memcpy(p->out + p->out_length, &m, sizeof m);
        p->out_length += sizeof m;
        flush(p);
    }
}

static void post_transfer(struct peer *p, uint64_t sequence)
{
    p->window[sequence % WINDOW].sent_ms = now_ms();
    post(p, TRANSFER, sequence, p->window[sequence % WINDOW].account, p->window[sequence % WINDOW].amount);
}

static struct peer *peer_of(int id)
{
    for (int i = 0; i < peer_count; i++)
        if (peers[i].id == id)
            return &peers[i];
    return NULL;
}

static bool valid(const struct message *m)
{
    return m->magic == MAGIC && m->check == check_of(m) && peer_of(m->from) != NULL;
}

static void take(const struct message *m)
{
    struct peer *p = peer_of(m->from);
    if (m->type == TRANSFER) {
        if (m->sequence == p->credited + 1) {
            balance[m->account % accounts] += m->amount;
            received += m->amount;
            p->credited++;
        } else if (m->sequence > p->credited + WINDOW) {
            say("BROKEN bank %d: transfer %llu of bank %d arrived, %llu was the last one credited", self,
                (unsigned long long)m->sequence, p->id, (unsigned long long)p->credited);
        }
        post(p, ACK, p->credited, 0, 0);
    } else if (m->type == ACK) {
        if (m->sequence >= p->next)
            say("BROKEN bank %d: bank %d acknowledged transfer %llu, %llu was the last one sent", self, p->id,
                (unsigned long long)m->sequence, (unsigned long long)(p->next - 1));
        else if (m->sequence > p->acknowledged)
            p->acknowledged = m->sequence;
    }
}

static void trade(void)
{
    uint64_t from = draw(accounts), amount = 1 + draw(50);
    if (balance[from] < amount)
        return;
    struct peer *p = peer_count > 0 && draw(4) != 0 ? &peers[draw(peer_count)] : NULL;
    if (p == NULL) {
        balance[from] -= amount;
        balance[draw(accounts)] += amount;
    } else if (p->next - p->acknowledged <= WINDOW - 1) {
        balance[from] -= amount;
        sent += amount;
        p->window[p->next % WINDOW].account = draw(accounts);
        p->window[p->next % WINDOW].amount = amount;
        post_transfer(p, p->next++);
    }
}

static void resend(void)
{
    uint64_t now = now_ms();
    for (int i = 0; i < peer_count; i++)
        for (uint64_t s = peers[i].acknowledged + 1; s < peers[i].next; s++)
            if (now - peers[i].window[s % WINDOW].sent_ms >= RESEND_MS)
                post_transfer(&peers[i], s);
}

static void report(void)
{
    uint64_t sum = 0, unacknowledged = 0, credited = 0;
    for (uint64_t i = 0; i < accounts; i++)
        sum += balance[i];
    for (int i = 0; i < peer_count; i++) {
        credited += peers[i].credited;
        for (uint64_t s = peers[i].acknowledged + 1; s < peers[i].next; s++)
            unacknowledged += peers[i].window[s % WINDOW].amount;
    }
    say("bank %d balance %llu sent %llu received %llu unacknowledged %llu ms %llu credited %llu", self,
        (unsigned long long)sum, (unsigned long long)sent, (unsigned long long)received,
        (unsigned long long)unacknowledged, (unsigned long long)now_ms(), (unsigned long long)credited);
    if (sum != accounts * initial + received - sent)
        say("BROKEN bank %d: balances are %llu, initial + received - sent is %llu", self, (unsigned long long)sum,
            (unsigned long long)(accounts * initial + received - sent));
}

static int open_socket(int type, uint16_t port)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || (type == SOCK_STREAM && listen(fd, MAX_BANKS) != 0))
        fail("socket");
    return fd;
}

static void parse_peers(uint16_t port)
{
    const char *value = parameter("bank.peers");
    char list[1024];
    snprintf(list, sizeof list, "%s", value == NULL ? "" : value);
    for (char *save, *entry = strtok_r(list, ",", &save); entry != NULL; entry = strtok_r(NULL, ",", &save)) {
        char *at = strchr(entry, '@');
        struct peer *p = &peers[peer_count];
        *p = (struct peer){ .id = atoi(entry), .next = 1, .fd = -1 };
        p->address.sin_family = AF_INET;
        p->address.sin_port = htons(port);
        if (peer_count == MAX_BANKS || at == NULL || inet_pton(AF_INET, at + 1, &p->address.sin_addr) != 1) {
            say("guest: bank.peers is ID@IP,... with at most %d entries; '%s' is not one", MAX_BANKS, entry);
            exit(2);
        }
        peer_count++;
    }
}

/* The bank with the lower number connects, so that two banks have one connection. */
static void connect_peers(void)
{
    for (int i = 0; i < peer_count; i++) {
        struct peer *p = &peers[i];
        if (p->fd >= 0 || self > p->id || now_ms() < p->retry_ms)
            continue;
        p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (p->fd < 0)
            fail("socket");
        p->connecting = true;
        if (connect(p->fd, (struct sockaddr *)&p->address, sizeof p->address) != 0 && errno != EINPROGRESS)
            drop_connection(p);
    }
}

static void connected(struct peer *p)
{
    int error = 0, one = 1;
    socklen_t length = sizeof error;
    getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        drop_connection(p);
        return;
    }
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    p->connecting = false;
    post(p, HELLO, 0, 0, 0);
}

static void accept_peer(void)
{
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
    if (fd < 0)
        return;
    for (int i = 0; i < peer_count; i++) {
        if (peers[i].address.sin_addr.s_addr == from.sin_addr.s_addr && self > peers[i].id) {
            drop_connection(&peers[i]);
            peers[i].fd = fd;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            return;
        }
    }
    close(fd);
}

static void receive_tcp(struct peer *p)
{
    for (;;) {
        ssize_t n = recv(p->fd, p->in + p->in_length, sizeof p->in - p->in_length, MSG_DONTWAIT);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN)
                drop_connection(p);
            return;
        }
        p->in_length += n;
        if (p->in_length < sizeof p->in)
            continue;
        struct message m;
        memcpy(&m, p->in, sizeof m);
        p->in_length = 0;
        if (!valid(&m)) {
            say("BROKEN bank %d: bank %d sent what is no message", self, p->id);
            drop_connection(p);
            return;
        }
        take(&m);
        if (p->fd < 0)
            return;
    }
}

static void receive_udp(int fd)
{
    struct message m;
    ssize_t n;
    while ((n = recv(fd, &m, sizeof m, MSG_DONTWAIT)) >= 0)
        if (n == sizeof m && valid(&m))
            take(&m);
}

static void wait_and_receive(int udp, int timeout)
{
    struct pollfd set[MAX_BANKS + 1] = { { .fd = tcp ? listener : udp, .events = POLLIN } };
    for (int i = 0; i < peer_count; i++)
        set[i + 1] = (struct pollfd){
            .fd = tcp ? peers[i].fd : -1,
            .events = POLLIN | (peers[i].connecting || peers[i].out_length > 0 ? POLLOUT : 0),
        };
    if (poll(set, peer_count + 1, timeout) <= 0)
        return;
    if (!tcp) {
        receive_udp(udp);
        return;
    }
    for (int i = 0; i < peer_count; i++) {
        if (set[i + 1].revents == 0 || peers[i].fd != set[i + 1].fd)
            continue;
        if (peers[i].connecting)
            connected(&peers[i]);
        else if (set[i + 1].revents & POLLOUT)
            flush(&peers[i]);
        if (peers[i].fd >= 0 && !peers[i].connecting && (set[i + 1].revents & (POLLIN | POLLHUP | POLLERR)))
            receive_tcp(&peers[i]);
    }
    if (set[0].revents != 0)
        accept_peer();
}

int main(void)
{
    const char *proto = parameter("bank.proto");
    tcp = proto != NULL && strcmp(proto, "tcp") == 0;
    if (proto != NULL && !tcp && strcmp(proto, "udp") != 0) {
        say("guest: bank.proto is udp or tcp, not %s", proto);
        return 2;
    }
    self = number("bank.id", 0);
    accounts = number("bank.accounts", 64);
    initial = number("bank.initial", 1000);
    random_state = mix(number("bank.seed", 1) + self);
    uint64_t period = number("bank.period", 50);
    uint16_t port = number("bank.port", 7000);
    if (self < 0 || self >= MAX_BANKS || accounts == 0 || accounts > MAX_ACCOUNTS || period == 0) {
        say("guest: bank.id is below %d, bank.accounts 1 to %d, bank.period at least 1", MAX_BANKS, MAX_ACCOUNTS);
        return 2;
    }
    parse_peers(port);
    for (uint64_t i = 0; i < accounts; i++)
        balance[i] = initial;

    int udp = -1;
    if (tcp)
        listener = open_socket(SOCK_STREAM, port);
    else
        udp = open_socket(SOCK_DGRAM, port);
    for (int i = 0; !tcp && i < peer_count; i++)
        peers[i].fd = udp;

    uint64_t trade_ms = now_ms(), report_ms = trade_ms;
    for (;;) {
        if (tcp)
            connect_peers();
        uint64_t now = now_ms();
        if (now >= trade_ms) {
            trade();
            resend();
            trade_ms = now + period;
        }
        if (now >= report_ms) {
            report();
            report_ms = now + REPORT_MS;
        }
        now = now_ms();
        wait_and_receive(udp, trade_ms > now ? (int)(trade_ms - now) : 0);
    }
}
