// Clock, sockets, signals, child processes and the parts of a result that several modes print.
#include "loadgen.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

volatile bool stopped;

uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void stop(int number)
{
	(void)number;
	stopped = true;
}

void catch_signals(void)
{
	struct sigaction action = {.sa_handler = stop}; // without SA_RESTART: waits end at once

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

struct sockaddr_storage address_of(const struct settings *settings, unsigned port_index)
{
	struct sockaddr_storage address = settings->address;
	uint16_t port = htons(settings->port + port_index);

	if (address.ss_family == AF_INET)
		((struct sockaddr_in *)&address)->sin_port = port;
	else
		((struct sockaddr_in6 *)&address)->sin6_port = port;
	return address;
}

int listen_on(const struct settings *settings, unsigned port_index)
{
	struct settings any = *settings;
	int on = 1, off = 0;

	if (settings->any_address) {
		any.address.ss_family = AF_INET6;
		any.address_size = sizeof(struct sockaddr_in6);
	}
	struct sockaddr_storage address = address_of(&any, port_index);
	int listener = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (listener < 0)
		fail("socket: %s", strerror(errno));
	if (address.ss_family == AF_INET6 && settings->any_address)
		setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, any.address_size) || listen(listener, 4096))
		fail("port %u: %s", settings->port + port_index, strerror(errno));
	return listener;
}

void watch(int epoll, int fd, uint32_t events, void *pointer)
{
	struct epoll_event event = {.events = events, .data.ptr = pointer};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl: %s", strerror(errno));
}

void ready(void)
{
	puts("ready");
	fflush(stdout);
}

// Runs `work` in as many processes as set, each killed if this one dies; returns when all have ended.
void run_processes(const struct settings *settings, void (*work)(const struct settings *, unsigned))
{
	pid_t children[64];

	fflush(stdout);
	if (settings->processes == 1) {
		work(settings, 0);
		return;
	}
	for (unsigned i = 0; i < settings->processes; i++) {
		children[i] = fork();
		if (children[i] < 0)
			fail("fork: %s", strerror(errno));
		if (children[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			work(settings, i);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < settings->processes;) {
		int status;

		if (waitpid(children[i], &status, 0) < 0) {
			if (errno != EINTR)
				fail("waitpid: %s", strerror(errno));
			for (unsigned j = i; j < settings->processes; j++)
				kill(children[j], SIGTERM);
			continue;
		}
		if (status)
			fail("a working process ended with status %d", status);
		i++;
	}
}

void count_failure(struct failures *failures, int number)
{
	failures->by_errno[number >= 0 && number <= MAX_ERRNO ? number : EIO]++;
}

uint64_t print_failures(const struct failures *failures)
{
	uint64_t sum = 0;
	const char *comma = "";

	fputs("\"failures\":{", stdout);
	for (int number = 0; number <= MAX_ERRNO; number++) {
		if (!failures->by_errno[number])
			continue;
		const char *name = number == TIMED_OUT ? "timeout" : strerrorname_np(number);

		if (number == CUT_SHORT)
			name = "short";
		printf("%s\"%s\":%lu", comma, name ? name : "unknown", failures->by_errno[number]);
		sum += failures->by_errno[number];
		comma = ",";
	}
	fputs("}", stdout);
	return sum;
}

void print_cpu(void)
{
	struct rusage own, children;

	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &children);
	printf("\"cpu\":{\"user_s\":%.3f,\"system_s\":%.3f}",
	       own.ru_utime.tv_sec + children.ru_utime.tv_sec + (own.ru_utime.tv_usec + children.ru_utime.tv_usec) / 1e6,
	       own.ru_stime.tv_sec + children.ru_stime.tv_sec + (own.ru_stime.tv_usec + children.ru_stime.tv_usec) / 1e6);
}
