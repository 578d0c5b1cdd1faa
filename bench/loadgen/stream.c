// `stream-serve` and `stream`: bulk throughput. The receiver counts the bytes and tells the sender, so
// what is reported has arrived.
#include "loadgen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CHUNK (128 << 10)

struct inflow {
	int fd;
	uint64_t received;
};

static void take(struct inflow *inflow)
{
	static char data[CHUNK];
	ssize_t size = recv(inflow->fd, data, sizeof(data), 0);

	if (size > 0) {
		inflow->received += size;
		return;
	}
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size == 0)
		send(inflow->fd, &inflow->received, sizeof(inflow->received), MSG_NOSIGNAL);
	close(inflow->fd);
	free(inflow);
}

int stream_serve(const struct settings *settings)
{
	struct epoll_event events[MAX_EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(settings, 0);
	uint64_t end = now_ns() + settings->seconds * 1e9;

	watch(epoll, listener, EPOLLIN, NULL);
	ready();
	while (!stopped && now_ns() < end) {
		int count = epoll_wait(epoll, events, MAX_EVENTS, 100);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr) {
				take(events[i].data.ptr);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

			if (fd < 0)
				continue; // gone again before we looked
			struct inflow *inflow = calloc(1, sizeof(*inflow));

			inflow->fd = fd;
			watch(epoll, fd, EPOLLIN, inflow);
		}
	}
	return 0;
}

struct outflow {
	int fd;
	uint64_t sent, arrived;
};

static void open_outflow(const struct settings *settings, struct outflow *outflow)
{
	struct sockaddr_storage address = address_of(settings, 0);
	struct timeval limit = {10, 0};

	outflow->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(outflow->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(outflow->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(outflow->fd, (struct sockaddr *)&address, settings->address_size))
		fail("connect: %s", strerror(errno));
}

static void push(struct outflow *outflow)
{
	static char data[CHUNK];
	ssize_t size = send(outflow->fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);

	if (size > 0)
		outflow->sent += size;
	else if (errno != EAGAIN && errno != EINTR)
		fail("the stream broke: %s", strerror(errno));
}

static uint64_t finish(struct outflow *outflow)
{
	struct tcp_info info = {};
	socklen_t size = sizeof(info);

	shutdown(outflow->fd, SHUT_WR);
	if (recv(outflow->fd, &outflow->arrived, sizeof(outflow->arrived), MSG_WAITALL) != sizeof(outflow->arrived))
		fail("the receiver did not confirm: %s", strerror(errno));
	if (outflow->arrived != outflow->sent)
		fail("%lu bytes sent, %lu arrived", outflow->sent, outflow->arrived);
	getsockopt(outflow->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	close(outflow->fd);
	return info.tcpi_total_retrans;
}

int stream(const struct settings *settings)
{
	struct epoll_event events[MAX_EVENTS];
	struct outflow *outflows = calloc(settings->connections, sizeof(*outflows));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t bytes = 0, retransmitted = 0;

	for (unsigned i = 0; i < settings->connections; i++) {
		open_outflow(settings, &outflows[i]);
		watch(epoll, outflows[i].fd, EPOLLOUT, &outflows[i]);
	}
	uint64_t start = now_ns(), end = start + settings->seconds * 1e9;

	while (!stopped && now_ns() < end) {
		int count = epoll_wait(epoll, events, MAX_EVENTS, 100);

		for (int i = 0; i < count; i++)
			push(events[i].data.ptr);
	}
	for (unsigned i = 0; i < settings->connections; i++) {
		retransmitted += finish(&outflows[i]);
		bytes += outflows[i].arrived;
	}
	double seconds = (now_ns() - start) / 1e9;

	printf("{\"mode\":\"stream\",\"seconds\":%.4f,\"connections\":%u,\"bytes\":%lu,\"gbit_per_second\":%.4f,"
	       "\"retransmitted\":%lu,", seconds, settings->connections, bytes, bytes * 8 / seconds / 1e9, retransmitted);
	print_cpu();
	puts("}");
	return 0;
}
