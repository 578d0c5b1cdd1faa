// What the modes of the load generator share. Every loop of every mode ends by time or by count.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define MAX_ERRNO 134
#define MAX_EVENTS 256

// -- settings.c: the command line

enum mode { SERVE, CONNECT, STREAM_SERVE, STREAM, ECHO, HOLD, ANSWER, ASK, SYNFLOOD, MODES };

struct settings {
	enum mode mode;
	struct sockaddr_storage address; // without port
	socklen_t address_size;
	bool any_address;
	uint16_t port;
	unsigned ports;		// as many consecutive ports
	double seconds;
	unsigned processes;
	unsigned inflight;
	unsigned connections;
	size_t request;		// bytes
	size_t response;	// bytes
	double rate;		// per second, 0: as fast as possible
	unsigned timeout_ms;
	unsigned interval_ms;
	unsigned reuse;		// exchanges from one port, 0: all
	uint64_t count;
	struct sockaddr_storage prefix; // source addresses of a flood
	unsigned prefix_bits;
	uint8_t option[40];	// raw TCP option bytes
	size_t option_size;
	unsigned random_at, random_size; // the part of it that is random in each packet
	char device[16];
	uint8_t mac[6];
	bool has_mac;
};

struct settings parse_settings(int argc, char **argv);
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// -- histogram.c: durations, with a resolution of 0.4 %

#define HISTOGRAM_SLOTS (48 * 256)

struct histogram {
	uint64_t count, total_ns, largest_ns;
	uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
void histogram_print(const char *name, const struct histogram *histogram); // a JSON member, in µs

// -- network.c: clock, sockets, signals, results

uint64_t now_ns(void);
extern volatile bool stopped; // set by SIGTERM and SIGINT
void catch_signals(void);
struct sockaddr_storage address_of(const struct settings *settings, unsigned port_index);
int listen_on(const struct settings *settings, unsigned port_index);
void watch(int epoll, int fd, uint32_t events, void *pointer);
void ready(void); // tells the owner that everything listens
void run_processes(const struct settings *settings, void (*work)(const struct settings *, unsigned index));

// Failures by errno, plus two kinds that have none.
enum { TIMED_OUT = 0, CUT_SHORT = MAX_ERRNO };
struct failures {
	uint64_t by_errno[MAX_ERRNO + 1];
};
void count_failure(struct failures *failures, int number);
uint64_t print_failures(const struct failures *failures); // a JSON member; returns the sum
void print_cpu(void); // a JSON member

// -- the modes
int serve(const struct settings *settings);
int connect_mode(const struct settings *settings);
int stream_serve(const struct settings *settings);
int stream(const struct settings *settings);
int echo(const struct settings *settings);
int hold(const struct settings *settings);
int answer_mode(const struct settings *settings);
int ask(const struct settings *settings);
int synflood(const struct settings *settings);
