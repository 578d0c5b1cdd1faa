// `echo` and `hold`: connections that stay, with a question and its answer every so often. Any that
// breaks or falls silent is reported.
#include "loadgen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void send_back(int fd)
{
	char data[4096];
	ssize_t size = recv(fd, data, sizeof(data), 0);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0 || send(fd, data, size, MSG_NOSIGNAL) != size)
		close(fd);
}

int echo(const struct settings *settings)
{
	struct epoll_event events[MAX_EVENTS];
	int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(settings, 0);
	uint64_t end = now_ns() + settings->seconds * 1e9;

	watch(epoll, listener, EPOLLIN, (void *)(intptr_t)listener);
	ready();
	while (!stopped && now_ns() < end) {
		int count = epoll_wait(epoll, events, MAX_EVENTS, 100);

		for (int i = 0; i < count; i++) {
			int fd = (intptr_t)events[i].data.ptr;

			if (fd != listener) {
				send_back(fd);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd >= 0)
				watch(epoll, fd, EPOLLIN, (void *)(intptr_t)fd);
		}
	}
	return 0;
}

struct held {
	int fd; // -1: broken
	bool connected, asked;
	uint64_t number, since; // of the question; since when it waits, or since the last answer
	size_t received;
	uint64_t answer;
};

struct holding {
	const struct settings *settings;
	struct held *held;
	struct failures failures;
	struct histogram connecting, answering;
	uint64_t opened, answers;
	int epoll;
};

static void broken(struct holding *all, struct held *held, int number)
{
	count_failure(&all->failures, number);
	close(held->fd);
	held->fd = -1;
}

static void open_held(struct holding *all, struct held *held)
{
	struct sockaddr_storage address = address_of(all->settings, 0);

	held->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (held->fd < 0)
		fail("socket: %s", strerror(errno));
	held->since = now_ns();
	if (connect(held->fd, (struct sockaddr *)&address, all->settings->address_size) && errno != EINPROGRESS) {
		broken(all, held, errno);
		return;
	}
	watch(all->epoll, held->fd, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, held);
}

static void on_connected(struct holding *all, struct held *held)
{
	int number = 0;
	socklen_t size = sizeof(number);

	getsockopt(held->fd, SOL_SOCKET, SO_ERROR, &number, &size);
	if (number) {
		broken(all, held, number);
		return;
	}
	histogram_add(&all->connecting, now_ns() - held->since);
	held->connected = true;
	held->since = now_ns();
	all->opened++;
}

static void on_answer(struct holding *all, struct held *held)
{
	for (;;) {
		ssize_t size = recv(held->fd, (char *)&held->answer + held->received, sizeof(held->answer) - held->received, 0);

		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size <= 0) {
			broken(all, held, size < 0 ? errno : CUT_SHORT);
			return;
		}
		held->received += size;
		if (held->received < sizeof(held->answer))
			continue;
		if (!held->asked || held->answer != held->number)
			fail("an answer to no question of ours");
		histogram_add(&all->answering, now_ns() - held->since);
		all->answers++;
		held->received = 0;
		held->asked = false;
		held->since = now_ns();
	}
}

static void ask_or_give_up(struct holding *all, struct held *held, uint64_t now)
{
	if (held->fd < 0)
		return;
	if (!held->connected || held->asked) {
		if (now > held->since + all->settings->timeout_ms * 1000000ull)
			broken(all, held, TIMED_OUT);
		return;
	}
	if (now < held->since + all->settings->interval_ms * 1000000ull)
		return;
	held->number++;
	held->asked = true;
	held->since = now;
	if (send(held->fd, &held->number, sizeof(held->number), MSG_NOSIGNAL) != sizeof(held->number))
		broken(all, held, errno);
}

static void on_event(struct holding *all, struct held *held, uint32_t events)
{
	if (held->fd >= 0 && !held->connected && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		on_connected(all, held);
	if (held->fd >= 0 && held->connected && events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		on_answer(all, held);
}

static void report(struct holding *all, double seconds)
{
	printf("{\"mode\":\"hold\",\"seconds\":%.3f,\"connections\":%u,\"opened\":%lu,\"answers\":%lu,", seconds,
	       all->settings->connections, all->opened, all->answers);
	uint64_t sum = print_failures(&all->failures);

	printf(",\"broken\":%lu,", sum);
	histogram_print("connect_us", &all->connecting);
	putchar(',');
	histogram_print("answer_us", &all->answering);
	puts("}");
}

int hold(const struct settings *settings)
{
	static struct holding all;
	struct epoll_event events[MAX_EVENTS];
	bool told = false;

	all.settings = settings;
	all.epoll = epoll_create1(EPOLL_CLOEXEC);
	all.held = calloc(settings->connections, sizeof(*all.held));
	uint64_t start = now_ns(), now = start, end = start + settings->seconds * 1e9, checked = 0;

	for (unsigned i = 0; i < settings->connections; i++)
		open_held(&all, &all.held[i]);
	while (!stopped && now < end) {
		int count = epoll_wait(all.epoll, events, MAX_EVENTS, 5);

		for (int i = 0; i < count; i++)
			on_event(&all, events[i].data.ptr, events[i].events);
		if (!told && all.opened == settings->connections) {
			ready();
			told = true;
		}
		now = now_ns();
		if (now < checked + 5000000)
			continue;
		checked = now;
		for (unsigned i = 0; i < settings->connections; i++)
			ask_or_give_up(&all, &all.held[i], now);
	}
	report(&all, (now - start) / 1e9);
	return 0;
}
