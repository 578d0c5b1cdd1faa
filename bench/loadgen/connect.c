// `connect`: a new connection for every request, several at a time; counts successes, failures by
// errno, and how long connecting and the whole exchange took.
//
// A connection is eight packets: SYN, SYN-ACK, ACK; request, ACK; response with FIN; FIN-ACK, ACK.
// The server closes first, so TIME_WAIT is the server's and a port of this side is free at once: a new
// SYN on the same four-tuple is newer than what the server remembers, and it accepts it.
#include "loadgen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

struct result {
	uint64_t begun, done;
	double seconds;
	struct failures failures;
	struct histogram connecting, exchange;
};

static struct result *results; // shared with the working processes

enum state { IDLE, CONNECTING, WAITING };

struct slot {
	int fd;
	enum state state;
	uint64_t began;
	size_t received;
};

struct client {
	const struct settings *settings;
	struct result *result;
	struct sockaddr_storage *targets;
	struct slot *slots;
	int epoll;
	unsigned turn, busy;
	unsigned *idle, idle_count; // a stack of slot numbers
	char *request;
};

static void release(struct client *client, struct slot *slot)
{
	close(slot->fd);
	slot->state = IDLE;
	client->busy--;
	client->idle[client->idle_count++] = slot - client->slots;
}

static void give_up(struct client *client, struct slot *slot, int number)
{
	count_failure(&client->result->failures, number);
	release(client, slot);
}

static void connected(struct client *client, struct slot *slot)
{
	histogram_add(&client->result->connecting, now_ns() - slot->began);
	slot->state = WAITING;
	ssize_t sent = send(slot->fd, client->request, client->settings->request, MSG_NOSIGNAL);

	if (sent != (ssize_t)client->settings->request)
		give_up(client, slot, sent < 0 ? errno : CUT_SHORT);
}

static void begin(struct client *client)
{
	const struct settings *settings = client->settings;
	bool blocking = settings->inflight == 1;
	struct slot *slot = &client->slots[client->idle[--client->idle_count]];
	struct sockaddr_storage *target = &client->targets[client->turn++ % settings->ports];

	client->busy++;
	client->result->begun++;
	slot->fd = socket(target->ss_family, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
	if (slot->fd < 0)
		fail("socket: %s", strerror(errno));
	slot->received = 0;
	slot->state = CONNECTING;
	if (blocking) { // a connect that gets no answer must not block beyond the time-out
		struct timeval limit = {settings->timeout_ms / 1000, settings->timeout_ms % 1000 * 1000};

		setsockopt(slot->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	slot->began = now_ns();
	int failed = connect(slot->fd, (struct sockaddr *)target, settings->address_size);

	if (failed && blocking && errno == EINPROGRESS) {
		give_up(client, slot, TIMED_OUT);
		return;
	}
	if (failed && errno != EINPROGRESS) {
		give_up(client, slot, errno);
		return;
	}
	if (blocking)
		connected(client, slot);
	if (slot->state == IDLE)
		return;
	// Edge-triggered for both directions: one registration for the life of the connection.
	watch(client->epoll, slot->fd, (blocking ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLET) | EPOLLRDHUP, slot);
}

static void receive(struct client *client, struct slot *slot)
{
	char data[65536];

	for (;;) {
		ssize_t size = recv(slot->fd, data, sizeof(data), MSG_DONTWAIT);

		if (size > 0) {
			slot->received += size;
			continue;
		}
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size < 0) {
			give_up(client, slot, errno);
		} else if (slot->received != client->settings->response) {
			give_up(client, slot, CUT_SHORT);
		} else {
			histogram_add(&client->result->exchange, now_ns() - slot->began);
			client->result->done++;
			release(client, slot);
		}
		return;
	}
}

static void handle(struct client *client, struct slot *slot, uint32_t events)
{
	if (slot->state == CONNECTING) {
		int number = 0;
		socklen_t size = sizeof(number);

		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &number, &size);
		if (number) {
			give_up(client, slot, number);
			return;
		}
		connected(client, slot);
	}
	if (slot->state == WAITING && events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		receive(client, slot);
}

static void give_up_late_ones(struct client *client, uint64_t now)
{
	uint64_t limit = client->settings->timeout_ms * 1000000ull;

	for (unsigned i = 0; i < client->settings->inflight; i++) {
		struct slot *slot = &client->slots[i];

		if (slot->state != IDLE && now > slot->began + limit)
			give_up(client, slot, TIMED_OUT);
	}
}

static void begin_what_is_due(struct client *client, double elapsed)
{
	double rate = client->settings->rate / client->settings->processes;

	// Bounded, for a connection that fails at once frees its slot at once.
	for (unsigned i = 0; i < client->settings->inflight && client->idle_count; i++) {
		if (rate > 0 && client->result->begun >= rate * elapsed)
			return;
		begin(client);
	}
}

static void connect_one(const struct settings *settings, unsigned index)
{
	struct client client = {.settings = settings, .result = &results[index], .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct epoll_event events[MAX_EVENTS];

	client.request = calloc(1, settings->request);
	client.slots = calloc(settings->inflight, sizeof(*client.slots));
	client.idle = calloc(settings->inflight, sizeof(*client.idle));
	client.targets = calloc(settings->ports, sizeof(*client.targets));
	for (unsigned i = 0; i < settings->ports; i++)
		client.targets[i] = address_of(settings, i);
	for (unsigned i = 0; i < settings->inflight; i++)
		client.idle[client.idle_count++] = i;

	uint64_t start = now_ns(), now = start, checked = start, end = start + settings->seconds * 1e9;
	uint64_t last = end + settings->timeout_ms * 1000000ull;

	while ((!stopped && now < end) || (client.busy && now < last)) {
		if (!stopped && now < end)
			begin_what_is_due(&client, (now - start) / 1e9);
		int count = epoll_wait(client.epoll, events, MAX_EVENTS, settings->rate > 0 ? 1 : 20);

		for (int i = 0; i < count; i++)
			handle(&client, events[i].data.ptr, events[i].events);
		now = now_ns();
		if (now > checked + 20000000) {
			give_up_late_ones(&client, now);
			checked = now;
		}
	}
	client.result->seconds = (now - start) / 1e9;
}

int connect_mode(const struct settings *settings)
{
	static struct result sum;

	results = mmap(NULL, settings->processes * sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	run_processes(settings, connect_one);
	for (unsigned i = 0; i < settings->processes; i++) {
		sum.begun += results[i].begun;
		sum.done += results[i].done;
		sum.seconds = results[i].seconds > sum.seconds ? results[i].seconds : sum.seconds;
		for (int j = 0; j <= MAX_ERRNO; j++)
			sum.failures.by_errno[j] += results[i].failures.by_errno[j];
		histogram_merge(&sum.connecting, &results[i].connecting);
		histogram_merge(&sum.exchange, &results[i].exchange);
	}
	printf("{\"mode\":\"connect\",\"seconds\":%.4f,\"begun\":%lu,\"connections\":%lu,\"per_second\":%.1f,", sum.seconds,
	       sum.begun, sum.done, sum.done / sum.seconds);
	print_failures(&sum.failures);
	putchar(',');
	histogram_print("connect_us", &sum.connecting);
	putchar(',');
	histogram_print("transaction_us", &sum.exchange);
	putchar(',');
	print_cpu();
	puts("}");
	return 0;
}
