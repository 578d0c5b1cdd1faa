// `serve`: short connections. Reads the request, sends the response, closes first (so that TIME_WAIT
// stays on this side and a client's ports are free again at once). `echo` is in hold.c.
#include "loadgen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int *listeners; // [process][port]
static char *response;

struct connection {
	int fd;
	bool listener;
	size_t received;
};

static void accept_all(int epoll, int listener)
{
	for (int i = 0; i < 64; i++) { // then let the others have their turn
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
				return;
			fail("accept: %s", strerror(errno));
		}
		struct connection *connection = calloc(1, sizeof(*connection));

		if (!connection)
			fail("out of memory");
		connection->fd = fd;
		watch(epoll, fd, EPOLLIN, connection);
	}
}

static void answer(struct connection *connection, const struct settings *settings)
{
	char request[65536];
	ssize_t size = recv(connection->fd, request, sizeof(request), 0);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size > 0) {
		connection->received += size;
		if (connection->received < settings->request)
			return;
		// MSG_MORE lets the FIN of close() travel with the response: eight packets a connection.
		// A fresh socket has room for the largest response (8 KB); a failure shows at the client as "short".
		if (send(connection->fd, response, settings->response, MSG_NOSIGNAL | MSG_MORE) < 0 && errno == ENOMEM)
			fail("send: %s", strerror(errno));
	}
	close(connection->fd);
	free(connection);
}

static void serve_one(const struct settings *settings, unsigned index)
{
	struct epoll_event events[MAX_EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t end = now_ns() + settings->seconds * 1e9;

	for (unsigned i = 0; i < settings->ports; i++) {
		struct connection *connection = calloc(1, sizeof(*connection));

		*connection = (struct connection){listeners[index * settings->ports + i], true, 0};
		watch(epoll, connection->fd, EPOLLIN, connection);
	}
	while (!stopped && now_ns() < end) {
		int count = epoll_wait(epoll, events, MAX_EVENTS, 100);

		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (connection->listener)
				accept_all(epoll, connection->fd);
			else
				answer(connection, settings);
		}
	}
}

int serve(const struct settings *settings)
{
	unsigned count = settings->processes * settings->ports;

	response = calloc(1, settings->response);
	listeners = calloc(count, sizeof(*listeners));
	for (unsigned i = 0; i < count; i++)
		listeners[i] = listen_on(settings, i % settings->ports);
	ready();
	run_processes(settings, serve_one);
	return 0;
}
