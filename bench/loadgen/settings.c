// The command line: which options each mode takes, and what they mean.
#include "loadgen.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define IN(mode) (1u << (mode))
#define SERVERS (IN(SERVE) | IN(STREAM_SERVE) | IN(ECHO) | IN(ANSWER))
#define CLIENTS (IN(CONNECT) | IN(STREAM) | IN(HOLD) | IN(ASK))
#define EVERY (SERVERS | CLIENTS | IN(SYNFLOOD))

static const char *const mode_names[MODES] = {
	[SERVE] = "serve", [CONNECT] = "connect", [STREAM_SERVE] = "stream-serve", [STREAM] = "stream",
	[ECHO] = "echo", [HOLD] = "hold", [ANSWER] = "answer", [ASK] = "ask", [SYNFLOOD] = "synflood",
};

static const struct {
	const char *name;
	unsigned modes;
	const char *help;
} options[] = {
	{"address", EVERY, "IPv4 or IPv6 address to listen on (default: any) or to talk to"},
	{"port", EVERY, "first port"},
	{"ports", IN(SERVE) | IN(CONNECT), "use this many consecutive ports in turn (default 1)"},
	{"seconds", EVERY, "end after this time (default: 10, servers and floods 3600)"},
	{"processes", IN(SERVE) | IN(CONNECT) | IN(ANSWER) | IN(ASK), "work in this many processes (default 1)"},
	{"inflight", IN(CONNECT) | IN(ASK), "connections or questions at a time, for each process (default 16; 1: blocking connect)"},
	{"connections", IN(STREAM) | IN(HOLD), "connections (default: 1)"},
	{"request", IN(SERVE) | IN(CONNECT) | IN(ASK), "bytes of a request (default 64)"},
	{"response", IN(SERVE) | IN(CONNECT) | IN(ANSWER) | IN(ASK), "bytes of a response (default 64)"},
	{"rate", IN(CONNECT) | IN(SYNFLOOD), "begin this many per second (default: as many as possible)"},
	{"reuse", IN(ASK), "exchanges from one port before another is taken (default 1; 0: all)"},
	{"timeout-ms", IN(CONNECT) | IN(HOLD) | IN(ASK), "give up on a connection or an answer (default 5000)"},
	{"interval-ms", IN(HOLD), "time between two questions on a connection (default 100)"},
	{"count", IN(SYNFLOOD), "packets to send"},
	{"prefix", IN(SYNFLOOD), "network that the source addresses are taken from, e.g. 10.99.0.0/16"},
	{"option", IN(SYNFLOOD), "TCP option, all its bytes in hexadecimal, at most 40"},
	{"random", IN(SYNFLOOD), "OFFSET:BYTES of the option that are random in every packet"},
	{"device", IN(SYNFLOOD), "send frames on this device, past netfilter and tc, instead of by a raw IP socket"},
	{"mac", IN(SYNFLOOD), "destination of the frames, e.g. 02:00:00:00:00:01"},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("loadgen: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

static void usage(void)
{
	puts("loadgen MODE --port P [options]   (modes: serve connect stream-serve stream echo hold answer ask synflood)");
	for (size_t i = 0; i < OPTIONS; i++) {
		printf("  --%-12s %s (", options[i].name, options[i].help);
		for (unsigned mode = 0, first = 1; mode < MODES; mode++)
			if (options[i].modes & IN(mode))
				printf("%s%s", first ? (first = 0, "") : " ", mode_names[mode]);
		puts(")");
	}
	exit(0);
}

static double number(const char *name, const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= least && value <= most))
		fail("--%s %s: give a number from %g to %g", name, text, least, most);
	return value;
}

static socklen_t parse_address(const char *name, const char *text, struct sockaddr_storage *into)
{
	struct sockaddr_in *four = (void *)into;
	struct sockaddr_in6 *six = (void *)into;

	memset(into, 0, sizeof(*into));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		into->ss_family = AF_INET;
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
		fail("--%s %s: give a numeric IPv4 or IPv6 address", name, text);
	into->ss_family = AF_INET6;
	return sizeof(*six);
}

static void parse_prefix(char *text, struct settings *into)
{
	char *slash = strchr(text, '/');

	if (!slash)
		fail("--prefix %s: give ADDRESS/BITS", text);
	*slash = 0;
	parse_address("prefix", text, &into->prefix);
	into->prefix_bits = number("prefix", slash + 1, 0, into->prefix.ss_family == AF_INET ? 32 : 128);
}

static void parse_option(const char *text, struct settings *into)
{
	size_t digits = strlen(text);

	if (digits % 2 || digits / 2 > sizeof(into->option) || strspn(text, "0123456789abcdefABCDEF") != digits)
		fail("--option %s: give at most 40 bytes in hexadecimal", text);
	for (size_t i = 0; i < digits / 2; i++)
		sscanf(text + 2 * i, "%2hhx", &into->option[i]);
	into->option_size = digits / 2;
}

static void parse_mac(const char *text, struct settings *into)
{
	uint8_t *mac = into->mac;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		fail("--mac %s: give six bytes in hexadecimal with colons", text);
	into->has_mac = true;
}

static void set(struct settings *into, const char *name, char *value)
{
#define IS(text) (strcmp(name, text) == 0)
	if (IS("address")) {
		into->address_size = parse_address(name, value, &into->address);
		into->any_address = false;
	} else if (IS("port"))
		into->port = number(name, value, 1, 65535);
	else if (IS("ports"))
		into->ports = number(name, value, 1, 1024);
	else if (IS("seconds"))
		into->seconds = number(name, value, 0.001, 86400);
	else if (IS("processes"))
		into->processes = number(name, value, 1, 64);
	else if (IS("inflight"))
		into->inflight = number(name, value, 1, 20000);
	else if (IS("connections"))
		into->connections = number(name, value, 1, 20000);
	else if (IS("request"))
		into->request = number(name, value, 1, 8192);
	else if (IS("response"))
		into->response = number(name, value, 1, 8192);
	else if (IS("rate"))
		into->rate = number(name, value, 0.1, 1e8);
	else if (IS("timeout-ms"))
		into->timeout_ms = number(name, value, 1, 600000);
	else if (IS("interval-ms"))
		into->interval_ms = number(name, value, 1, 600000);
	else if (IS("reuse"))
		into->reuse = number(name, value, 0, 1e9);
	else if (IS("count"))
		into->count = number(name, value, 1, 1e10);
	else if (IS("prefix"))
		parse_prefix(value, into);
	else if (IS("option"))
		parse_option(value, into);
	else if (IS("random")) {
		if (sscanf(value, "%u:%u", &into->random_at, &into->random_size) != 2)
			fail("--random %s: give OFFSET:BYTES", value);
	} else if (IS("device"))
		snprintf(into->device, sizeof(into->device), "%s", value);
	else if (IS("mac"))
		parse_mac(value, into);
#undef IS
}

static void check(const struct settings *settings)
{
	bool server = SERVERS & IN(settings->mode);

	if (!settings->port)
		fail("--port is missing");
	if (settings->port + settings->ports > 65536)
		fail("--ports %u: there are not as many above port %u", settings->ports, settings->port);
	if (!server && settings->any_address)
		fail("--address is missing: say whom to talk to");
	if (settings->mode != SYNFLOOD)
		return;
	if (!settings->count)
		fail("--count is missing: say how many packets");
	if (settings->prefix.ss_family != settings->address.ss_family)
		fail("--prefix is missing or not of the same IP version as --address");
	if (settings->random_at + settings->random_size > settings->option_size)
		fail("--random %u:%u: the option has only %zu bytes", settings->random_at, settings->random_size,
		     settings->option_size);
	if (settings->device[0] && !settings->has_mac)
		fail("--mac is missing: frames need a destination");
}

struct settings parse_settings(int argc, char **argv)
{
	struct option table[OPTIONS + 2] = {};
	struct settings settings = {
		.mode = MODES, .any_address = true, .ports = 1, .processes = 1, .inflight = 16, .connections = 1,
		.request = 64, .response = 64, .timeout_ms = 5000, .interval_ms = 100, .reuse = 1,
	};
	int found;

	for (unsigned mode = 0; argc > 1 && mode < MODES; mode++)
		if (strcmp(argv[1], mode_names[mode]) == 0)
			settings.mode = mode;
	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		usage();
	if (settings.mode == MODES)
		fail("the first word must be a mode; see loadgen --help");
	settings.seconds = IN(settings.mode) & (SERVERS | IN(SYNFLOOD)) ? 3600 : 10;
	for (size_t i = 0; i < OPTIONS; i++)
		table[i] = (struct option){options[i].name, required_argument, NULL, 0};
	table[OPTIONS] = (struct option){"help", no_argument, NULL, 0};
	for (int at; (found = getopt_long(argc - 1, argv + 1, "", table, &at)) != -1;) {
		if (found == '?')
			exit(2);
		if ((size_t)at == OPTIONS)
			usage();
		if (!(options[at].modes & IN(settings.mode)))
			fail("--%s has no meaning for %s", options[at].name, mode_names[settings.mode]);
		set(&settings, options[at].name, optarg);
	}
	if (optind != argc - 1)
		fail("%s: options begin with --", argv[optind + 1]);
	check(&settings);
	return settings;
}
