// `answer` and `ask`: questions and answers in datagrams. Every question may come from a port of its own, as a
// resolver's do, or many from one; several may be on their way at a time. The server's answers tell nobody apart.
#include "loadgen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define LARGEST 8192

static char data[LARGEST];

static void limit_waiting(int fd, unsigned ms)
{
	struct timeval limit = {ms / 1000, ms % 1000 * 1000};

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		fail("SO_RCVTIMEO: %s", strerror(errno));
}

static int bound_to(const struct settings *settings)
{
	struct settings any = *settings;
	int on = 1, off = 0, room = 4 << 20;

	if (settings->any_address) {
		any.address.ss_family = AF_INET6;
		any.address_size = sizeof(struct sockaddr_in6);
	}
	struct sockaddr_storage address = address_of(&any, 0);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket: %s", strerror(errno));
	if (settings->any_address)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&address, any.address_size))
		fail("port %u: %s", settings->port, strerror(errno));
	limit_waiting(fd, 100);
	return fd;
}

static int *servers; // [process]

static void answer_all(const struct settings *settings, unsigned index)
{
	uint64_t end = now_ns() + settings->seconds * 1e9;
	char question[LARGEST];

	for (unsigned i = 0; !stopped && (i % 1024 || now_ns() < end); i++) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);

		if (recvfrom(servers[index], question, sizeof(question), 0, (struct sockaddr *)&from, &size) < 0) {
			if (now_ns() >= end)
				return;
			continue;
		}
		// An answer that finds no room shows at the other end, as a time-out.
		sendto(servers[index], data, settings->response, 0, (struct sockaddr *)&from, size);
	}
}

int answer_mode(const struct settings *settings)
{
	servers = calloc(settings->processes, sizeof(*servers));
	for (unsigned i = 0; i < settings->processes; i++)
		servers[i] = bound_to(settings);
	ready();
	run_processes(settings, answer_all);
	return 0;
}

struct result {
	uint64_t answered, sockets, first_ns;
	double seconds;
	struct failures failures;
	struct histogram exchange;
};

static struct result *results; // shared with the working processes

static int socket_to(const struct settings *settings)
{
	struct sockaddr_storage target = address_of(settings, 0);
	int fd = socket(target.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket: %s", strerror(errno));
	limit_waiting(fd, settings->timeout_ms);
	if (connect(fd, (struct sockaddr *)&target, settings->address_size))
		fail("connect: %s", strerror(errno));
	return fd;
}

// As many questions as may be on their way, and their answers; how long it took from the first one on.
static void exchange(int fd, const struct settings *settings, struct result *result)
{
	char taken[LARGEST];
	uint64_t began = now_ns();

	for (unsigned i = 0; i < settings->inflight; i++)
		if (send(fd, data, settings->request, 0) < 0)
			count_failure(&result->failures, errno);
	for (unsigned i = 0; i < settings->inflight; i++) {
		ssize_t size = recv(fd, taken, sizeof(taken), 0);

		if (size == (ssize_t)settings->response)
			result->answered++;
		else
			count_failure(&result->failures, size < 0 ? (errno == EAGAIN ? TIMED_OUT : errno) : CUT_SHORT);
	}
	uint64_t took = now_ns() - began;

	if (!result->first_ns)
		result->first_ns = took;
	histogram_add(&result->exchange, took);
}

static void ask_one(const struct settings *settings, unsigned index)
{
	struct result *result = &results[index];
	uint64_t start = now_ns(), end = start + settings->seconds * 1e9;
	int fd = -1;

	for (uint64_t i = 0; !stopped && now_ns() < end; i++) {
		if (fd < 0 || (settings->reuse && i % settings->reuse == 0)) {
			if (fd >= 0)
				close(fd);
			fd = socket_to(settings);
			result->sockets++;
		}
		exchange(fd, settings, result);
	}
	if (fd >= 0)
		close(fd);
	result->seconds = (now_ns() - start) / 1e9;
}

int ask(const struct settings *settings)
{
	static struct result sum;

	results = mmap(NULL, settings->processes * sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	run_processes(settings, ask_one);
	for (unsigned i = 0; i < settings->processes; i++) {
		sum.answered += results[i].answered;
		sum.sockets += results[i].sockets;
		sum.seconds = results[i].seconds > sum.seconds ? results[i].seconds : sum.seconds;
		for (int j = 0; j <= MAX_ERRNO; j++)
			sum.failures.by_errno[j] += results[i].failures.by_errno[j];
		histogram_merge(&sum.exchange, &results[i].exchange);
	}
	printf("{\"mode\":\"ask\",\"seconds\":%.4f,\"answered\":%lu,\"per_second\":%.1f,\"sockets\":%lu,\"first_us\":%.2f,", sum.seconds,
	       sum.answered, sum.answered / sum.seconds, sum.sockets, results[0].first_ns / 1e3);
	print_failures(&sum.failures);
	putchar(',');
	histogram_print("exchange_us", &sum.exchange);
	putchar(',');
	print_cpu();
	puts("}");
	return 0;
}
